"""Networks in the kernel: who reaches whom, under which address, and what becomes of bridges and rules.

Every test has a host of its own: a network namespace with an uplink to another one, which plays the outside world.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel.namespaces import Flags, setns, unshare
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import rules
from sandbox.network.interface import configure
from sandbox.network.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.network.records import Attachment

Isolated: TypeAlias = "Callable[[Callable[[], object]], object]"

PORT = 7000
HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"

try:
    rules.load("", None)
    MISSING = ""
except SandboxError as problem:
    MISSING = "" if problem.reference == "nft-failed" else problem.message

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")


class Place:
    """A network namespace, in which functions run in children of their own."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            before = os.open("/proc/self/ns/net", os.O_RDONLY)
            unshare(Flags.NEWNET)
            descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
            setns(before, Flags.NEWNET)
            os.close(before)
        self.descriptor = descriptor

    def run(self, function: Callable[[], object]) -> object:
        """What `function` gives inside."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                setns(self.descriptor, Flags.NEWNET)
                result: object = ["ok", function()]
            except BaseException as error:
                result = ["failed", repr(error)]
            os.write(writing, json.dumps(result).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            outcome, value = json.load(stream)
        os.waitpid(pid, 0)
        assert outcome == "ok", value
        return value

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """A server inside that tells every client its address."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                setns(self.descriptor, Flags.NEWNET)
                with socket.create_server(("0.0.0.0", PORT)) as server:  # noqa: S104
                    os.write(writing, b"x")
                    while True:
                        connection, (address, _) = server.accept()
                        connection.sendall(address.encode())
                        connection.close()
            os._exit(0)
        os.read(reading, 1)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reading)
            os.close(writing)

    def asks(self, address: str) -> object:
        """Under which address the server at `address` sees who asks from inside; "no" when it is not reached."""

        def ask() -> str:
            try:
                with socket.create_connection((address, PORT), timeout=0.4) as connection:
                    return connection.recv(100).decode()
            except OSError:
                return "no"

        return self.run(ask)


class Host:
    """The namespace that a test runs in, with an uplink of MTU 1400 to the outside, and its engine."""

    def __init__(self, home: Path) -> None:
        self.place = Place(os.open("/proc/self/ns/net", os.O_RDONLY))
        self.outside = Place()
        with Netlink() as netlink:
            netlink.add_veth("up0", "eth0", peer_namespace_fd=self.outside.descriptor, mtu=1400)
            netlink.add_address(index_of("up0"), f"{HOST}/24")
            netlink.add_route(OUTSIDE, "default", index_of("up0"))
        self.outside.run(self._set_up_outside)
        self.networks = Networks(home / "networks", prefix="t")

    @staticmethod
    def _set_up_outside() -> None:
        with Netlink() as netlink:
            netlink.add_address(index_of("eth0"), f"{OUTSIDE}/24")
            netlink.set_link("eth0", up=True)
            netlink.add_route(HOST, "10.88.0.0/13", index_of("eth0"))  # a neighbour who knows the way to containers

    def container(self, name: str, *networks: str) -> tuple[Place, tuple[Attachment, ...]]:
        """A namespace that is connected to `networks` and set up."""
        place = Place()
        attachments = tuple(
            self.networks.reserve(network, name, (name,), interface=f"eth{number}")
            for number, network in enumerate(networks)
        )
        for attachment in attachments:
            self.networks.connect(attachment, place.descriptor)
        place.run(lambda: configure(attachments))
        return place, attachments


def nft(*arguments: str) -> str:
    """The output of nft."""
    return subprocess.run(["nft", *arguments], check=True, capture_output=True, text=True, timeout=30).stdout


def bridges() -> list[str]:
    """The names of the bridges here."""
    with Netlink() as netlink:
        return sorted(link.name for link in netlink.links() if link.kind == "bridge")


def test_containers_reach_each_other_the_host_and_the_outside(tmp_path: Path, isolated: Isolated) -> None:
    """On one network by their own addresses, the host at the gateway and back, and the outside under the host's
    address.
    """

    def body() -> None:
        host = Host(tmp_path)
        one, (first,) = host.container("one", "bridge")
        two, (second,) = host.container("two", "bridge")
        with two.serving(), host.place.serving(), host.outside.serving():
            assert one.asks(second.address) == first.address
            assert one.asks("10.88.0.1") == first.address
            assert one.asks(HOST) == first.address
            assert host.place.asks(second.address) == "10.88.0.1"
            assert one.asks(OUTSIDE) == HOST
            assert two.asks(OUTSIDE) == HOST
            assert two.asks("127.0.0.1") == "127.0.0.1"
            assert host.place.asks("10.88.0.1") == "10.88.0.1"
        assert "does now" in " ".join(host.networks.notices)

    isolated(body)


def test_nothing_new_comes_in_from_outside(tmp_path: Path, isolated: Isolated) -> None:
    """A neighbour who routes to the containers' addresses by this host gets no connection, and host addresses stay
    reachable.
    """

    def body() -> None:
        host = Host(tmp_path)
        one, (first,) = host.container("one", "bridge")
        with one.serving(), host.place.serving():
            assert host.outside.asks(first.address) == "no"
            assert host.outside.asks(HOST) == OUTSIDE

    isolated(body)


def test_networks_are_isolated_from_each_other(tmp_path: Path, isolated: Isolated) -> None:
    """Containers of different networks do not meet; one in both reaches both; each reaches the outside."""

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("red")
        host.networks.create("blue")
        red, (at_red,) = host.container("r", "red")
        blue, (at_blue,) = host.container("b", "blue")
        both, (first, second) = host.container("both", "red", "blue")
        assert (first.interface, second.interface) == ("eth0", "eth1")
        with red.serving(), blue.serving(), host.outside.serving():
            assert red.asks(at_blue.address) == "no"
            assert blue.asks(at_red.address) == "no"
            assert both.asks(at_red.address) == first.address
            assert both.asks(at_blue.address) == second.address
            assert red.asks(OUTSIDE) == blue.asks(OUTSIDE) == both.asks(OUTSIDE) == HOST

    isolated(body)


def test_two_engines_on_a_host_are_isolated_too(tmp_path: Path, isolated: Isolated) -> None:
    """Containers of engines with different homes do not meet either."""

    def body() -> None:
        host = Host(tmp_path)
        one, _ = host.container("one", "bridge")
        host.networks = Networks(tmp_path / "second/networks", prefix="u")
        two, (second,) = host.container("two", "bridge")
        with two.serving(), host.outside.serving():
            assert one.asks(second.address) == "no"
            assert one.asks(OUTSIDE) == two.asks(OUTSIDE) == HOST

    isolated(body)


def test_from_an_internal_network_there_is_no_way_out(tmp_path: Path, isolated: Isolated) -> None:
    """Its containers meet, and the host reaches them; they reach neither the outside nor the host, even with a route of
    their own.
    """

    def body() -> None:
        host = Host(tmp_path)
        network = host.networks.create("shut", internal=True)
        one, (first,) = host.container("one", "shut")
        two, (second,) = host.container("two", "shut")

        def forge() -> None:
            with Netlink() as netlink:
                netlink.add_route(network.gateway, "default", index_of("eth0"))

        with two.serving(), host.place.serving(), host.outside.serving():
            assert one.asks(second.address) == first.address
            assert host.place.asks(second.address) == network.gateway
            for _ in range(2):
                assert one.asks(OUTSIDE) == "no"
                assert one.asks(network.gateway) == "no"
                assert one.asks(HOST) == "no"
                with contextlib.suppress(AssertionError):
                    one.run(forge)

    isolated(body)


def test_a_forged_source_address_does_not_get_out(tmp_path: Path, isolated: Isolated) -> None:
    """A container that takes an address which is not its network's reaches nobody beyond the host."""

    def body() -> None:
        host = Host(tmp_path)
        one, _ = host.container("one", "bridge")

        def forge() -> str:
            with Netlink() as netlink:
                netlink.add_address(index_of("eth0"), "203.0.113.9/32")
            try:
                with socket.create_connection((OUTSIDE, PORT), timeout=0.4, source_address=("203.0.113.9", 0)):
                    return "through"
            except OSError:
                return "no"

        def route_back() -> None:
            with Netlink() as netlink:
                netlink.add_route(HOST, "203.0.113.0/24", index_of("eth0"))

        host.outside.run(route_back)
        with Netlink() as netlink:
            netlink.add_route(None, "203.0.113.9/32", index_of("t0"))
        with host.outside.serving():
            assert one.run(forge) == "no"
            assert one.asks(OUTSIDE) == HOST

    isolated(body)


def test_interface_inside(tmp_path: Path, isolated: Isolated) -> None:
    """Name, mac and MTU of the uplink are right, IPv6 is off but for localhost, one default route, low ports for
    everybody.
    """

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("second", mtu=1280)
        place, (first, second) = host.container("one", "bridge", "second")

        def look() -> object:
            with Netlink() as netlink:
                links = {link.name: [link.up, link.mtu, link.mac] for link in netlink.links() if link.name != "lo"}
                defaults = [route.gateway for route in netlink.routes() if route.destination == "default"]
            inet6 = [line.split()[-1] for line in Path("/proc/net/if_inet6").read_text().splitlines()]
            low = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip()
            return [links, defaults, inet6, low]

        assert place.run(look) == [
            {"eth0": [True, 1400, first.mac], "eth1": [True, 1280, second.mac]},
            [first.gateway],
            ["lo"],
            "0",
        ]
        with Netlink() as netlink:
            end, bridge = netlink.link(first.host_interface), netlink.link("t0")
            assert end is not None
            assert bridge is not None
            assert (end.up, end.master, end.mtu) == (True, bridge.ifindex, 1400)
        assert Path("/proc/sys/net/ipv6/conf/t0/disable_ipv6").read_text() == "1\n"

    isolated(body)


def test_no_network_is_loopback_only(isolated: Isolated) -> None:
    """`--network none`: lo is up, there is nothing else."""

    def body() -> object:
        place = Place()
        place.run(lambda: configure(()))

        def look() -> object:
            with Netlink() as netlink:
                return [[link.name, link.up] for link in netlink.links() if link.kind not in ("sit", "ipip", "gre")]

        return place.run(look)

    assert ["lo", True] in isolated(body)  # type: ignore[operator]


def test_the_interface_goes_with_its_namespace(tmp_path: Path, isolated: Isolated) -> None:
    """When the namespace ends, the host's end of the pair goes by itself."""

    def body() -> None:
        host = Host(tmp_path)
        place, (attachment,) = host.container("one", "bridge")
        os.close(place.descriptor)
        limit = time.monotonic() + 10
        with Netlink() as netlink:
            while netlink.link(attachment.host_interface) is not None:
                assert time.monotonic() < limit
                time.sleep(0.01)

    isolated(body)


@pytest.mark.parametrize("loss", ["ruleset", "bridge", "both", "table of an older version"])
def test_what_was_lost_is_made_again(tmp_path: Path, isolated: Isolated, loss: str) -> None:
    """After a flushed firewall or a deleted bridge the next container finds everything in place, the old networks'
    isolation too.
    """

    def body() -> None:
        host = Host(tmp_path)
        host.networks.create("red")
        red, (at_red,) = host.container("r", "red")
        host.container("old", "bridge")
        if loss in ("ruleset", "both"):
            nft("flush", "ruleset")
        if loss in ("bridge", "both"):
            with Netlink() as netlink:
                netlink.delete_link("t0")
        if loss.startswith("table"):
            nft("flush", "ruleset")
            nft('add table inet t { comment "hako rules 0" ; }')
        new, _ = host.container("new", "bridge")
        with red.serving(), host.outside.serving():
            assert new.asks(OUTSIDE) == red.asks(OUTSIDE) == HOST
            assert new.asks(at_red.address) == "no"

    isolated(body)


def test_warm_connects_touch_no_rules(tmp_path: Path, isolated: Isolated) -> None:
    """While all is in place, connecting neither runs nft nor changes a rule."""

    def body() -> None:
        host = Host(tmp_path)
        host.container("one", "bridge")
        before = nft("-a", "list", "ruleset")
        host.container("two", "bridge")
        assert nft("-a", "list", "ruleset") == before

    isolated(body)


def test_other_tables_and_links_are_left_alone(tmp_path: Path, isolated: Isolated) -> None:
    """Somebody else's rules, bridges and forwarding policy are the same after networks came and went."""

    def body() -> None:
        host = Host(tmp_path)
        nft("add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; policy accept; }")
        nft("add table inet firewalld; add rule ip filter INPUT tcp dport 99 drop")
        with Netlink() as netlink:
            netlink.add_bridge("docker0", alias="hako is not my owner")
        before = nft("list", "ruleset")
        network = host.networks.create("net")
        host.container("one", "net", "bridge")
        assert nft("list", "ruleset").startswith(before)
        host.networks.release("one")
        host.networks.remove("net")
        assert network.bridge not in bridges()
        assert network.subnet not in nft("list", "table", "inet", "t")
        host.networks.reclaim(lambda _: True)
        host.networks.tear_down()
        assert nft("list", "ruleset") == before
        assert bridges() == ["docker0"]

    isolated(body)


def test_a_firewall_that_drops_forwarded_packets_is_named(tmp_path: Path, isolated: Isolated) -> None:
    """With iptables' FORWARD policy at drop, as Docker sets it, a notice says why containers reach nobody."""

    def body() -> None:
        host = Host(tmp_path)
        nft("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
        one, _ = host.container("one", "bridge")
        assert any("FORWARD" in notice and "t0" in notice for notice in host.networks.notices)
        with host.outside.serving():
            assert one.asks(OUTSIDE) == "no"
            nft("add rule ip filter FORWARD iifname t0 accept")
            nft("add rule ip filter FORWARD oifname t0 ct state established accept")
            assert one.asks(OUTSIDE) == HOST

    isolated(body)


def test_connecting_when_somebody_took_the_subnet(tmp_path: Path, isolated: Isolated) -> None:
    """A route that came later over the network's addresses is a conflict that names both, not a broken host."""

    def body() -> str:
        host = Host(tmp_path)
        host.networks.create("net", subnet="10.91.0.0/24")
        host.networks.tear_down()
        with Netlink() as netlink:
            netlink.add_route(OUTSIDE, "10.91.0.0/16", index_of("up0"))
        try:
            host.container("one", "net")
        except SandboxError as error:
            return str(error)
        return "connected"

    message = str(isolated(body))
    assert "10.91.0.0/24" in message
    assert "10.91.0.0/16" in message


def test_many_first_containers_at_once(tmp_path: Path, isolated: Isolated) -> None:
    """Twelve processes that connect at once to networks nobody has used yet make each bridge and rule once, and all get
    through.
    """

    def body() -> None:
        host = Host(tmp_path)
        for name in ("red", "blue"):
            host.networks.create(name)
        host.networks.tear_down()
        places = [Place() for _ in range(12)]
        pids = []
        for number, place in enumerate(places):
            pid = os.fork()
            if pid == 0:
                code = 1
                with contextlib.suppress(BaseException):
                    name = ("bridge", "red", "blue")[number % 3]
                    attachment = host.networks.reserve(name, f"c{number}", (f"c{number}",))
                    host.networks.connect(attachment, place.descriptor)
                    setns(place.descriptor, Flags.NEWNET)
                    configure((attachment,))
                    code = 0
                os._exit(code)
            pids.append(pid)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 12
        assert len(bridges()) == 3
        with host.outside.serving():
            assert [place.asks(OUTSIDE) for place in places] == [HOST] * 12

    isolated(body)


def test_bridges_of_engines_that_are_gone_are_removed(tmp_path: Path, isolated: Isolated) -> None:
    """A deleted home leaves bridges and a table behind; the next engine's reclaim removes them, and keeps those of the
    living.
    """

    def body() -> None:
        dead = Networks(tmp_path / "dead/networks", prefix="dead")
        dead.ensure_default()
        living = Networks(tmp_path / "living/networks", prefix="living")
        kept = living.ensure_default()
        assert bridges() == ["dead0", "living0"]
        (tmp_path / "dead").rename(tmp_path / "trash")
        engine = Networks(tmp_path / "new/networks", prefix="new")
        lost = engine.create("lost")
        (tmp_path / "new/networks/lost").rename(tmp_path / "lost")
        engine.reclaim(lambda _: True)
        assert bridges() == ["living0"]
        assert lost.bridge not in bridges()
        tables = nft("list", "tables")
        assert "inet living" in tables
        assert "inet dead" not in tables
        assert living.get("bridge") == kept

    isolated(body)


def test_a_bridge_of_somebody_else_is_not_taken(tmp_path: Path, isolated: Isolated) -> None:
    """Where the wanted name belongs to another engine, the error says so and the bridge stays as it is."""

    def body() -> str:
        Networks(tmp_path / "first/networks", prefix="same").ensure_default()
        try:
            Networks(tmp_path / "second/networks", prefix="same").ensure_default()
        except SandboxError as error:
            assert bridges() == ["same0"]
            return str(error)
        return "taken"

    assert "another engine" in str(isolated(body))


def test_without_the_right_networks_are_records_only(tmp_path: Path, isolated: Isolated) -> None:
    """An ordinary user makes networks and gives names, but is told what to do when it comes to a bridge."""

    def body() -> object:
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(Flags.NEWUSER)  # root of a user namespace that does not own the network namespace
        networks = Networks(tmp_path / "networks", prefix="t")
        made = networks.create("net")
        attachment = networks.reserve("net", "one", ("one",))
        try:
            networks.connect(attachment, here)
        except SandboxError as error:
            networks.release("one")
            networks.reclaim(lambda _: True)
            networks.remove("net")
            return [made.name, error.reference, bridges()]
        return "connected"

    if os.geteuid() == 0:
        tmp_path.chmod(0o777)
        for folder in (*tmp_path.parents,):
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
    assert isolated(body) == ["net", "network-not-permitted", []]


def test_without_nft(isolated: Isolated) -> None:
    """A host without nft is told which package to install."""

    def body() -> object:
        try:
            rules.load("", ["/nowhere"])
        except SandboxError as error:
            return [error.reference, error.hint]
        return None

    reference, hint = isolated(body)  # type: ignore[misc]
    assert reference == "nft-missing"  # type: ignore[has-type]
    assert "nftables" in hint  # type: ignore[has-type]


def test_rules_that_nft_refuses(isolated: Isolated) -> None:
    """What nft says against a script is in the error."""

    def body() -> str:
        try:
            rules.load("add nonsense\n")
        except SandboxError as error:
            return str(error)
        return "accepted"

    assert "syntax error" in str(isolated(body))


def test_connecting_twice_under_one_name(tmp_path: Path, isolated: Isolated) -> None:
    """A second interface of the same name inside is refused with the network's name, not a traceback of the
    kernel's.
    """

    def body() -> object:
        host = Host(tmp_path)
        place, (attachment,) = host.container("one", "bridge")
        try:
            host.networks.connect(attachment, place.descriptor)
        except SandboxError as error:
            return [str(error).startswith("cannot connect to network bridge"), os.strerror(errno.EEXIST) in str(error)]
        return "connected"

    assert isolated(body) == [True, True]
