"""Waiting for one descriptor."""

from __future__ import annotations

import os
import resource

import pytest

from sandbox.kernel.polling import readable, writable


def test_what_a_pipe_has() -> None:
    """A pipe is readable once something or the end is in it, and writable while there is room."""
    reader, writer = os.pipe()
    try:
        assert not readable(reader, 0)
        assert writable(writer)
        os.write(writer, b"x")
        assert readable(reader)
        os.set_blocking(writer, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        assert not writable(writer, 0.01)
    finally:
        os.close(writer)
        os.close(reader)


def test_descriptors_past_1023() -> None:
    """The numbers that select(2) refuses."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2048:
        pytest.skip("this process may not have so many")
    reader, writer = os.pipe()
    high = 1500
    try:
        os.dup2(reader, high)
        assert not readable(high, 0)
        os.write(writer, b"x")
        assert readable(high, 0)
    finally:
        for descriptor in (reader, writer, high):
            os.close(descriptor)
