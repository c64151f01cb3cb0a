"""The door to the kernel: numbers, arguments, errors."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path

import pytest

from sandbox.kernel import syscalls
from tests.sandbox.kernel.children import in_child

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", sorted(HEADERS))
def test_numbers_are_the_kernels(machine: str) -> None:
    """Every number in our table is the one of the kernel's own header, as far as that header knows the call."""
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed (package linux-libc-dev)")
    official = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text()))
    ours = syscalls.numbers(machine)
    compared = {name for name in ours if name in official}
    assert {name: ours[name] for name in compared} == {name: int(official[name]) for name in compared}
    assert len(compared) > len(ours) // 2


def test_new_calls_share_their_number() -> None:
    """From 424 on (pidfd_send_signal) a call has the same number on every architecture."""
    x86, arm = syscalls.numbers("x86_64"), syscalls.numbers("aarch64")
    assert x86.keys() == arm.keys()
    assert all(arm[name] == number for name, number in x86.items() if number >= 424)


def test_an_unknown_machine_has_no_calls() -> None:
    """On a machine without a table every call is ENOSYS instead of some other call."""
    assert not syscalls.numbers("riscv64")


def test_an_error_names_the_path() -> None:
    """The kernel's errno becomes the OSError subclass that fits, with the path."""
    with pytest.raises(FileNotFoundError) as caught:
        syscalls.syscall("umount2", b"/no/such/place", 0, path="/no/such/place")
    assert caught.value.filename == "/no/such/place"
    assert "No such file" in str(caught.value)


def test_a_call_without_a_number_is_enosys() -> None:
    """A name that the table lacks raises ENOSYS and says so."""
    with pytest.raises(OSError, match="no_such_call") as caught:
        syscalls.syscall("no_such_call")
    assert caught.value.errno == errno.ENOSYS


def test_a_nul_in_a_path_is_refused() -> None:
    """The kernel would read `/etc\\0/x` as `/etc`."""
    with pytest.raises(OSError, match="null") as caught:
        syscalls.encode("/etc\0/x")
    assert caught.value.errno == errno.EINVAL


def test_paths_are_encoded_as_they_came() -> None:
    """Bytes that are no UTF-8 go to the kernel as they were read from it; Path and bytes are taken too."""
    assert syscalls.encode("/\udcff") == b"/\xff"
    assert syscalls.encode(b"/\xff") == b"/\xff"
    assert syscalls.encode(Path("/x")) == b"/x"


def test_integers_are_passed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 bits arrive, and negative numbers keep their sign."""
    monkeypatch.setitem(syscalls.NR, "lseek", {"x86_64": 8, "aarch64": 62}[os.uname().machine])
    with (tmp_path / "file").open("wb") as file:
        assert syscalls.syscall("lseek", file.fileno(), 5 << 32, os.SEEK_SET) == 5 << 32
        assert syscalls.syscall("lseek", file.fileno(), -(1 << 32), os.SEEK_CUR) == 4 << 32


def test_an_interrupted_call_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal runs its Python handler, and the call is made again (PEP 475)."""
    monkeypatch.setitem(syscalls.NR, "read", {"x86_64": 0, "aarch64": 63}[os.uname().machine])

    def child() -> tuple[int, bytes]:
        import ctypes  # noqa: PLC0415

        receive, send = os.pipe()
        signal.signal(signal.SIGALRM, lambda *_: os.write(send, b"x"))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        buffer = (ctypes.c_char * 4)()
        return syscalls.syscall("read", receive, buffer, 4), buffer.raw

    assert in_child(child) == (1, b"x\0\0\0")
