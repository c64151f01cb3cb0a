"""Keys that the kernel keeps for whoever runs the engine: passwords of file systems and mail, tickets of Kerberos.

A process has them by its session's keyring, which children inherit and which no user namespace is in the way of.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.kernel.syscalls import NR
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, ExecSpec, Security, Stdio
from tests.sandbox.kernel.children import in_child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hardening.conftest import ProbeFields

pytestmark = pytest.mark.root

_SESSION, _JOIN, _SEARCH, _READ = -3, 1, 10, 11  # linux/keyctl.h
_libc = ctypes.CDLL(None, use_errno=True)

# The number of the key is the argument: knowing that is all that can be known from outside.
ATTACK = f"""
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
text = ctypes.create_string_buffer(100)
searched = libc.syscall({NR["keyctl"]}, {_SEARCH}, {_SESSION}, b"user", b"canary", 0)
asked = libc.syscall({NR["request_key"]}, b"user", b"canary", None, 0)
found = []
for key in (int(sys.argv[1]), searched, asked):
    if key > 0 and libc.syscall({NR["keyctl"]}, {_READ}, key, text, 100) > 0:
        found.append(text.value.decode())
print(json.dumps(found))
"""


def _attack(home: Path, fields: dict[str, Any], security: Security) -> list[str] | None:
    """What a first process, and a further one, of a container has found; None where the kernel keeps no keys."""
    _libc.syscall(NR["keyctl"], _JOIN, None)
    key = _libc.syscall(NR["add_key"], b"user", b"canary", b"secret", 6, _SESSION)
    if key < 0:
        return None
    text = ctypes.create_string_buffer(100)
    assert _libc.syscall(NR["keyctl"], _READ, key, text, 100) == 6, "the witness cannot be read at all"
    engine = Engine(home)
    *python, _ = fields.pop("command")
    program = (*python, ATTACK, str(key))
    sleeper = (*python, "import time; time.sleep(600)")
    spec = ContainerSpec(**fields, command=sleeper, network="none", auto_remove=True, security=security)
    reader, writer = os.pipe()
    identifier = ""
    try:
        first = engine.start(engine.create(spec._replace(command=program)), Stdio(stdout=writer, stderr=writer))
        first.wait(60)
        identifier = engine.create(spec)
        engine.start(identifier)
        engine.execute(identifier, ExecSpec(command=program), Stdio(stdout=writer, stderr=writer)).wait(60)
    finally:
        os.close(writer)
        if identifier:
            engine.remove(identifier, force=True)
        engine.close()
    with os.fdopen(reader) as file:
        return [word for line in file for word in json.loads(line)]


@pytest.mark.parametrize(
    "security",
    [Security(), Security(seccomp="unconfined"), Security(privileged=True)],
    ids=["default", "unfiltered", "privileged"],
)
def test_the_session_s_keys(engine: Engine, probe_fields: ProbeFields, security: Security) -> None:
    """They are neither found nor read by their numbers, whatever the rights."""
    found = in_child(functools.partial(_attack, engine.home, probe_fields(""), security))
    if found is None:
        pytest.skip("this kernel keeps no keys")
    assert found == []
