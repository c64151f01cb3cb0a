"""Hosts with firewalls of their own: iptables of both kinds, docker's rules; they stay as they are, and are named where
they stand in the way.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel import xtables
from sandbox.network.records import Published
from tests.sandbox.network.isolation import HOST, MISSING, OUTSIDE, PORT, Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.sandbox.network.isolation import Isolated

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there"), pytest.mark.root]
KINDS = ("iptables-legacy", "iptables-nft")
# What dockerd 28 sets up for a bridge of its own, shortened
DOCKER = """
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 -j ACCEPT
-P FORWARD DROP
"""


@pytest.fixture(params=KINDS)
def iptables(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Runs iptables of one kind."""
    program = shutil.which(request.param, path="/usr/sbin:/sbin:/usr/bin")
    if program is None:
        pytest.skip(f"{request.param} is not installed")

    def run(words: str) -> str:
        done = subprocess.run([program, *words.split()], capture_output=True, text=True, timeout=30, check=False)
        if "Could not fetch rule set" in done.stderr or "not exist" in done.stderr:
            pytest.skip(f"this kernel has no {request.param}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_host_with_iptables(tmp_path: Path, isolated: Isolated, iptables: Callable[..., str]) -> None:
    """Its rules stay, and both they and ours hold."""

    def body() -> None:
        iptables("-A FORWARD -p tcp --dport 7001 -j DROP")
        before = iptables("-S")
        host = Host(tmp_path)
        one, (attachment,) = host.container("one", "bridge", ports=(Published("tcp", "", 8080, PORT),))
        assert not any("FORWARD" in notice for notice in host.networks.notices)
        with one.serving(), host.outside.serving():
            assert one.asks(OUTSIDE) == HOST
            assert host.outside.asks(HOST, 8080) == OUTSIDE
            assert host.place.asks("127.0.0.1", 8080) == attachment.gateway
        host.networks.release("one")
        host.networks.tear_down()
        assert iptables("-S") == before

    isolated(body)


@pytest.mark.parametrize("docker", [False, True])
def test_a_firewall_that_drops_forwarded_packets_is_named(
    tmp_path: Path, isolated: Isolated, iptables: Callable[..., str], docker: bool
) -> None:
    """With FORWARD's policy at drop, as Docker sets it: a warning says why containers reach nobody, and what it tells
    to do helps. The host itself and neighbours reach them all the same.
    """

    def body() -> None:
        for line in DOCKER.strip().splitlines() if docker else ["-P FORWARD DROP"]:
            iptables(line)
        host = Host(tmp_path)
        web, (attachment,) = host.container("web", "bridge", ports=(Published("tcp", "", 8080, PORT),))
        peer, (at_peer,) = host.container("peer", "bridge")
        (notice,) = (notice for notice in host.networks.notices if "FORWARD" in notice)
        with web.serving(), host.outside.serving():
            assert web.misses(OUTSIDE)
            assert host.outside.misses(HOST, 8080)
            assert host.place.asks("127.0.0.1", 8080) == attachment.gateway
            assert host.place.asks(attachment.address) == attachment.gateway
            for command in notice.partition("lets them: ")[2].split("; "):
                iptables(command.removeprefix("iptables "))
            assert web.asks(OUTSIDE) == HOST
            assert host.outside.asks(HOST, 8080) == OUTSIDE
            assert host.outside.misses(attachment.address)
            assert peer.asks(attachment.address) == at_peer.address

    isolated(body)


def test_the_policy_of_the_older_filter(isolated: Isolated) -> None:
    """Read without its tool, and without making its table."""
    program = shutil.which("iptables-legacy", path="/usr/sbin:/sbin:/usr/bin")
    if program is None:
        pytest.skip("iptables-legacy is not installed")

    def body() -> list[str]:
        found = [xtables.forward_policy()]
        for policy in ("DROP", "ACCEPT"):
            done = subprocess.run([program, "-P", "FORWARD", policy], capture_output=True, timeout=30, check=False)
            if done.returncode != 0:
                pytest.skip("this kernel has no iptables-legacy")
            subprocess.run([program, "-A", "FORWARD", "-j", "RETURN"], timeout=30, check=True)
            found.append(xtables.forward_policy())
        return found

    assert isolated(body) == ["", "drop", "accept"]
