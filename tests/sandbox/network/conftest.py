"""A host of its own for each test of networks: a child process in a fresh network namespace."""

from __future__ import annotations

import json
import os
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel.namespaces import Flags, unshare
from sandbox.kernel.netlink import Netlink

if TYPE_CHECKING:
    from collections.abc import Callable


def _isolated(body: Callable[[], object]) -> object:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setpgid(0, 0)
        try:
            _enter()
            result: object = ["ok", body()]
        except pytest.skip.Exception as error:
            result = ["skip", str(error)]
        except BaseException:
            result = ["failed", traceback.format_exc()]
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        outcome, value = json.loads(stream.read() or b'["failed", "the child died"]')
    os.waitpid(pid, 0)
    if outcome == "skip":
        pytest.skip(value)
    assert outcome == "ok", value
    return value


def _enter() -> None:
    """Become root of a namespace that is like a freshly booted host without a network."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(Flags.NEWNET if uid == 0 else Flags.NEWNET | Flags.NEWUSER)
    except PermissionError as error:
        pytest.skip(f"needs root or user namespaces: {error}")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    with Netlink() as netlink:
        netlink.set_link("lo", up=True)


@pytest.fixture
def isolated() -> Callable[[Callable[[], object]], object]:
    """Runs a function in a child that is root of an own network namespace; gives its result, which JSON must be able to
    carry.

    Bridges, rules and forwarding are the namespace's, so nothing of a test stays on the machine, whatever happens in
    it.
    """
    return _isolated
