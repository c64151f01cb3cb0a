"""Moving bytes between our streams and a container's, on real pipes."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cli.relay import DETACH_KEYS, Detached, Input, Output, relay
from sandbox.errors import SandboxError
from sandbox.runtime import control
from sandbox.runtime.process import Process

if TYPE_CHECKING:
    from pathlib import Path

MUCH = os.urandom(1 << 20)


def process() -> tuple[Process, socket.socket]:
    """A process as its starter has it, and the supervisor's end of the connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Process("0" * 64, 1, ours, ()), theirs


def end(supervisor: socket.socket, code: int) -> None:
    """It has ended."""
    control.send(supervisor, {"event": "exited", "code": code, "oom": False, "error": ""})
    supervisor.close()


def typed(keys: bytes, *, at_once: bool) -> bytes:
    """What of these keys reaches the container; raises Detached."""
    read, write = os.pipe()
    out_read, out_write = os.pipe()
    source = Input(read, out_write, detach=DETACH_KEYS)
    passed = b""
    try:
        for piece in [keys] if at_once else [bytes([key]) for key in keys]:
            os.write(write, piece)
            assert source.read()
            passed += source.rest
        return passed
    finally:
        for descriptor in (read, write, out_read, out_write):
            os.close(descriptor)


def test_what_was_typed_before_the_detach_keys() -> None:
    """It reaches the container, also when both arrive in one piece."""
    (read, write), (out_read, out_write) = os.pipe(), os.pipe()
    source = Input(read, out_write, detach=DETACH_KEYS)
    os.write(write, b"A=1\r" + DETACH_KEYS)
    with pytest.raises(Detached):
        source.read()
    source.close()
    with os.fdopen(out_read, "rb") as file:
        assert file.read() == b"A=1\r"
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_detach_keys(at_once: bool) -> None:
    """ctrl-p ctrl-q, also key by key and after a ctrl-p too many, and nothing else."""
    for keys in (b"\x10\x11", b"ls\x10\x11", b"\x10\x10\x11", b"\x10a\x10\x11"):
        with pytest.raises(Detached):
            typed(keys, at_once=at_once)
    assert typed(b"a\x10b\x11c", at_once=at_once) == b"a\x10b\x11c"
    assert typed(b"\x10", at_once=at_once) == b""  # it waits for the next key


@given(st.binary(min_size=1, max_size=20).filter(lambda keys: DETACH_KEYS not in keys and keys[-1] != 0x10))
def test_other_keys_pass(keys: bytes) -> None:
    """Whatever has not the detach keys in it arrives as it is."""
    assert typed(keys, at_once=True) == keys


def test_everything_moves_and_the_end_is_told(tmp_path: Path) -> None:
    """Output to a file, input from another, a megabyte each way at once; the code is the process's."""
    (tmp_path / "in").write_bytes(MUCH)
    source = os.open(tmp_path / "in", os.O_RDONLY)
    target = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    started, supervisor = process()
    stdin_read, stdin_write = os.pipe()
    stdout_read, stdout_write = os.pipe()

    def cat() -> None:
        while data := os.read(stdin_read, 1 << 16):
            os.write(stdout_write, data)
        os.close(stdout_write)
        end(supervisor, 7)

    thread = threading.Thread(target=cat)
    thread.start()
    status = relay(started, [Output(stdout_read, target)], Input(source, stdin_write))
    thread.join()
    for descriptor in (source, target, stdin_read):
        os.close(descriptor)
    assert status.code == 7
    assert (tmp_path / "out").read_bytes() == MUCH


def test_the_end_comes_although_somebody_holds_the_output(tmp_path: Path) -> None:
    """Not to the end: what is there is taken, and nobody waited for."""
    target = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    started, supervisor = process()
    read, write = os.pipe()
    os.write(write, b"last words")
    end(supervisor, 0)
    assert relay(started, [Output(read, target)], to_the_end=False).code == 0
    os.close(write)
    os.close(target)
    assert (tmp_path / "out").read_bytes() == b"last words"


def test_input_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    """A container that has closed its input is not waited for."""
    source = os.open("/dev/zero", os.O_RDONLY)
    started, supervisor = process()
    read, write = os.pipe()
    os.close(read)
    end(supervisor, 3)
    assert relay(started, [], Input(source, write)).code == 3
    os.close(source)


def test_a_target_that_was_made_non_blocking(tmp_path: Path) -> None:
    """Somebody who shares our output may have set O_NONBLOCK; nothing is lost."""
    started, supervisor = process()
    read, write = os.pipe()
    reader, target = os.pipe()
    os.set_blocking(target, False)
    got = bytearray()

    def take() -> None:
        while data := os.read(reader, 1 << 14):
            got.extend(data)

    def give() -> None:
        sent = 0
        while sent < len(MUCH):
            sent += os.write(write, MUCH[sent:])
        os.close(write)
        end(supervisor, 0)

    threads = [threading.Thread(target=work) for work in (take, give)]
    for thread in threads:
        thread.start()
    relay(started, [Output(read, target)])
    os.close(target)
    for thread in threads:
        thread.join()
    os.close(reader)
    assert bytes(got) == MUCH


def test_a_full_disk_is_told() -> None:
    """The stream and the reason are named."""
    started, supervisor = process()
    read, write = os.pipe()
    os.write(write, b"x")
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(SandboxError, match="cannot write to standard output: no space left on device"):
        relay(started, [Output(read, full)])
    for descriptor in (write, full):
        os.close(descriptor)
    supervisor.close()
