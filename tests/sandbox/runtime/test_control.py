"""Messages between an engine and a supervisor."""

from __future__ import annotations

import os
import socket

import pytest

from sandbox.errors import SandboxError
from sandbox.runtime import control


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_a_message_and_its_descriptors() -> None:
    """Both arrive together; the descriptors are closed by an exec."""
    ours, theirs = _pair()
    with ours, theirs, open("/proc/self/stat", encoding="ascii") as file:  # noqa: PTH123
        control.send(ours, {"a": [1]}, [file.fileno()])
        received = control.receive(theirs)
        assert received is not None
        message, (descriptor,) = received
        assert message == {"a": [1]}
        assert not os.get_inheritable(descriptor)
        assert os.readlink(f"/proc/self/fd/{descriptor}").endswith("/stat")  # noqa: PTH115
        os.close(descriptor)


def test_the_end() -> None:
    """A closed connection is the end, whether everything was read or not."""
    for unread in (False, True):
        ours, theirs = _pair()
        if unread:
            control.send(theirs, {})
        ours.close()
        assert control.receive(theirs) is None
        assert control.receive(theirs) is None
        theirs.close()


def test_last_words_are_heard() -> None:
    """What was sent before a close arrives, even if the sender left something unread: a failing init says why."""
    ours, theirs = _pair()
    control.send(theirs, {"event": "go"})
    control.send(ours, control.error_message(SandboxError("why", hint="what to do", exit_code=127)))
    ours.close()
    received = control.receive(theirs)
    assert received is not None
    with pytest.raises(SandboxError, match="why") as caught:
        control.raise_error(received[0])
    assert (caught.value.hint, caught.value.exit_code) == ("what to do", 127)
    assert control.receive(theirs) is None
    theirs.close()
