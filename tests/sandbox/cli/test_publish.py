"""Published ports: how they are written, and on real containers."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.cli.options import UsageError
from sandbox.cli.publish import expose, publish, summary
from sandbox.network.records import PortRequest, Published

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

SERVER = ("busybox", "sh", "-c", "echo welcome >/tmp/index.html; exec httpd -f -p 80 -h /tmp")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PortRequest(80)]),
        ("80/udp", [PortRequest(80, "udp")]),
        ("8080:80", [PortRequest(80, "tcp", "", 8080, 8080)]),
        ("8080:80/sctp", [PortRequest(80, "sctp", "", 8080, 8080)]),
        ("8080:80/TCP", [PortRequest(80, "tcp", "", 8080, 8080)]),
        ("0.0.0.0:8080:80", [PortRequest(80, "tcp", "", 8080, 8080)]),
        ("127.0.0.1:8080:80", [PortRequest(80, "tcp", "127.0.0.1", 8080, 8080)]),
        ("127.0.0.1::80", [PortRequest(80, "tcp", "127.0.0.1")]),
        ("[::1]:8080:80", [PortRequest(80, "tcp", "::1", 8080, 8080)]),
        ("80-82", [PortRequest(80), PortRequest(81), PortRequest(82)]),
        ("8080-8090:80", [PortRequest(80, "tcp", "", 8080, 8090)]),
        ("8080-8081:80-81/udp", [PortRequest(80, "udp", "", 8080, 8080), PortRequest(81, "udp", "", 8081, 8081)]),
        ("target=80,published=8080,protocol=udp,mode=host", [PortRequest(80, "udp", "", 8080, 8080)]),
        ("target=80", [PortRequest(80)]),
    ],
)
def test_docker_s_notations(text: str, expected: list[PortRequest]) -> None:
    """Address, host's port, container's port, protocol; each but the third may be missing, ports may be ranges."""
    assert publish(text, "-p") == tuple(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid port ''"),
        ("x", "invalid port 'x'"),
        ("0", "invalid port of the container"),
        ("65536", "invalid port '65536'"),
        ("8080:", "invalid port ''"),
        ("80/dccp", "unknown protocol 'dccp'"),
        ("80/", "unknown protocol ''"),
        ("82-80", "ends before it begins"),
        ("8080-8081:80-82", "differ in length"),
        ("nohost:8080:80", "'nohost' is no address"),
        ("::1:8080:80", "IPv6 in brackets"),
        ("[::1:80", "bracket"),
        ("target=80,colour=red", "unknown field 'colour'"),
        ("٨٠", "invalid port"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    """Every mistake is a usage error with the text in it."""
    with pytest.raises(UsageError, match=message) as caught:
        publish(text, "-p")
    assert "-p" in str(caught.value)


def test_exposed_ports() -> None:
    """Ranges and protocols, in the form that images keep."""
    assert expose("80-81", "--expose") == ("80/tcp", "81/tcp")
    assert expose("53/udp", "--expose") == ("53/udp",)


def test_the_column_of_ps() -> None:
    """Neighbours are one range; addresses and protocols stay apart."""
    ports = [Published("tcp", "", 8000 + number, 80 + number) for number in range(3)]
    ports += [Published("udp", "", 8000, 80), Published("tcp", "127.0.0.1", 9000, 90), Published("tcp", "::1", 9, 99)]
    assert summary(ports) == (
        "0.0.0.0:8000-8002->80-82/tcp, 0.0.0.0:8000->80/udp, 127.0.0.1:9000->90/tcp, [::1]:9->99/tcp"
    )


def fetch(address: str, port: int) -> str:
    """What the web server there says; "" while nobody answers."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                data = b""
                while part := connection.recv(4096):
                    data += part
                if data:
                    return data.rpartition(b"\r\n\r\n")[2].decode().strip()
        except OSError:
            pass
        time.sleep(0.05)
    return ""


@pytest.mark.root
def test_a_container_with_ports(sandbox: Sandbox, name: str) -> None:
    """Reached on the host, listed by `port`, `ps` and `inspect`, refused to others with docker's message, and gone with
    its container, also when its supervisor is killed.
    """
    done = sandbox("run", "-d", "--name", name, "-p", "127.0.0.1::80", "-p", "90/udp", *SERVER)
    assert done.returncode == 0, done.stderr
    where = sandbox("port", name, "80").stdout.strip()
    port = int(where.removeprefix("127.0.0.1:"))
    lines = sandbox("port", name).stdout.splitlines()
    assert lines[0] == f"80/tcp -> 127.0.0.1:{port}"
    assert lines[1].startswith("90/udp -> 0.0.0.0:")
    assert fetch("127.0.0.1", port) == "welcome"
    row = next(json.loads(line) for line in sandbox("ps", "--format", "json").stdout.splitlines() if name in line)
    assert f"127.0.0.1:{port}->80/tcp" in row["Ports"]
    (inspected,) = json.loads(sandbox("inspect", name).stdout)
    assert inspected["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    assert inspected["HostConfig"]["PortBindings"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": ""}]
    missing = sandbox("port", name, "99")
    assert (
        missing.returncode,
        missing.stderr.startswith(f"sandbox: no public port '99/tcp' published for {name}"),
    ) == (
        1,
        True,
    )

    words = ("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true")
    refused = sandbox(*words)
    assert refused.returncode == 125
    assert f"bind for 127.0.0.1:{port} failed: port is already allocated (container {name}" in refused.stderr

    status = Path(f"/proc/{inspected['State']['Pid']}/status").read_text()
    supervisor = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    os.kill(supervisor, signal.SIGKILL)
    again = sandbox(*words)
    assert again.returncode == 0, again.stderr
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


@pytest.mark.root
def test_everything_exposed_is_published(sandbox: Sandbox, name: str) -> None:
    """-P gives each port a free one of the host's; without a network there is nothing to publish, and it is said."""
    sandbox("run", "-d", "--name", name, "-P", "--expose", "80-81", "-p", "81", "busybox", "sleep", "1000")
    lines = sandbox("port", name).stdout.splitlines()
    assert [line.split(" -> ")[0] for line in lines] == ["80/tcp", "81/tcp"]
    done = sandbox("run", "--rm", "--network", "none", "-p", "80", "busybox", "true")
    assert done.returncode == 0
    assert "published ports are discarded: the container has network 'none'" in done.stderr
