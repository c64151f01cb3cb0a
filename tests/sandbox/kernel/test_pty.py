"""Pseudo-terminals: where the pair comes from, sizes, raw mode."""

from __future__ import annotations

import errno
import os
import signal
import termios
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel import mounts, pty
from tests.sandbox.kernel.children import in_child, in_mount_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal of this test."""
    master, slave = pty.open_pty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_a_pair_is_connected(pair: tuple[int, int]) -> None:
    """What is written to one side is read from the other; both are close-on-exec."""
    master, slave = pair
    assert os.isatty(slave)
    os.write(slave, b"out\n")
    assert os.read(master, 10) == b"out\r\n"
    assert not os.get_inheritable(master)
    assert not os.get_inheritable(slave)


@pytest.mark.parametrize("flags", [os.O_PATH, os.O_RDWR | os.O_NOCTTY])
def test_the_multiplexer_may_be_a_descriptor(flags: int) -> None:
    """Of the node, which is opened, or of a master that is open already."""
    descriptor = os.open("/dev/ptmx", flags)
    master, slave = pty.open_pty(descriptor)
    assert os.isatty(slave)
    assert (master == descriptor) == (flags != os.O_PATH)
    for opened in {descriptor, master, slave}:
        os.close(opened)


@pytest.mark.parametrize("name", ["/dev/null", "/dev/tty", "file"])
@pytest.mark.parametrize("handle", [False, True])
def test_something_else_in_its_place_is_refused(tmp_path: Path, name: str, handle: bool) -> None:
    """A file that is no multiplexer is ENODEV (or says itself that it cannot be opened); no descriptor stays open."""
    path = tmp_path / name
    if name == "file":
        path.touch()

    def child() -> tuple[int | None, int]:
        os.setsid()  # without a terminal, /dev/tty is ENXIO
        place = os.open(path, os.O_PATH) if handle else -1
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        with pytest.raises(OSError, match=r"multiplexer|No such device") as caught:
            pty.open_pty(place if handle else path)
        return caught.value.errno, len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208

    code, more = in_child(child)
    assert code == (errno.ENXIO if name == "/dev/tty" and not handle else errno.ENODEV)
    assert more == 0


def test_the_slave_does_not_come_by_name(tmp_path: Path) -> None:
    """With something else lying at the slave's name the pair is still a terminal of that devpts (CVE-2025-52565)."""

    def child() -> tuple[bool, bool]:
        devpts = mounts.fs_mount("devpts", {"ptmxmode": "666", "mode": "620"})
        mounts.move_mount(devpts, tmp_path)
        probe = pty.open_pty(tmp_path / "ptmx")
        first = os.fstat(probe[1])
        cover = mounts.open_tree("/dev/null")
        mounts.move_mount(cover, tmp_path / str(os.minor(first.st_rdev)))
        for descriptor in probe:
            os.close(descriptor)
        master, slave = pty.open_pty(tmp_path / "ptmx")
        os.write(slave, b"x")
        return os.isatty(slave), os.read(master, 1) == b"x"

    assert in_mount_namespace(child) == (True, True)


def test_sizes_are_set_and_read(pair: tuple[int, int]) -> None:
    """Rows and columns are the same from both sides."""
    master, slave = pair
    pty.set_size(master, 33, 101)
    assert pty.get_size(slave) == pty.get_size(master) == (33, 101)


def test_the_size_of_no_terminal_is_an_error() -> None:
    """ENOTTY for a pipe."""
    receive, send = os.pipe()
    with pytest.raises(OSError, match="ioctl") as caught:
        pty.get_size(receive)
    assert caught.value.errno == errno.ENOTTY
    os.close(receive)
    os.close(send)


def test_a_controlling_terminal_tells_of_size_and_interrupt() -> None:
    """The session's leader gets SIGWINCH when the size changes, and SIGINT for the key."""

    def child() -> list[int]:
        os.setsid()
        master, slave = pty.open_pty()
        pty.make_controlling(slave)
        assert os.tcgetpgrp(slave) == os.getpgrp()
        signals = {signal.SIGWINCH, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        pty.set_size(master, 10, 20)
        seen = [signal.sigtimedwait(signals, 5)]
        os.write(master, b"\x03")
        seen.append(signal.sigtimedwait(signals, 5))
        return [found.si_signo for found in seen if found is not None]

    assert in_child(child) == [signal.SIGWINCH, signal.SIGINT]


def test_a_raw_terminal_passes_every_key(pair: tuple[int, int]) -> None:
    """Inside the `with` nothing is echoed, translated or interpreted; afterwards all is as before."""
    master, slave = pair
    before = termios.tcgetattr(slave)
    with pty.RawTerminal(slave):
        os.write(master, b"\x03\r\x1a\x11")
        assert os.read(slave, 10) == b"\x03\r\x1a\x11"
        os.write(slave, b"\n")
        assert os.read(master, 10) == b"\n"
    assert termios.tcgetattr(slave) == before


def test_a_raw_terminal_is_restored_after_an_error(pair: tuple[int, int]) -> None:
    """An exception goes through, and the terminal is as before."""
    _, slave = pair
    before = termios.tcgetattr(slave)
    with pytest.raises(KeyError), pty.RawTerminal(slave):
        raise KeyError
    assert termios.tcgetattr(slave) == before


def test_raw_mode_of_no_terminal_does_nothing() -> None:
    """A pipe is left as it is."""
    receive, send = os.pipe()
    with pty.RawTerminal(receive):
        os.write(send, b"x")
    assert os.read(receive, 1) == b"x"
    os.close(receive)
    os.close(send)


def test_a_terminal_that_went_away_is_no_error() -> None:
    """When the other side has hung up there is nothing to restore."""
    master, slave = pty.open_pty()
    with pty.RawTerminal(slave):
        os.close(master)
    os.close(slave)
