"""Networks as records: names, subnets, addresses and hosts files, by many processes at once and after sudden deaths."""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from sandbox.errors import ConflictError, InvalidError, NotFoundError, SandboxError
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import rules
from sandbox.network.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Isolated: TypeAlias = "Callable[[Callable[[], object]], object]"

try:
    rules.load("", None)
    MISSING = ""
except SandboxError as error:
    MISSING = "" if error.reference == "nft-failed" else error.message

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")


def failure(function: Callable[[], object]) -> list[str]:
    """[class, message] of the error that `function` raises."""
    try:
        function()
    except SandboxError as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]


def peers(path: str | Path) -> dict[str, str]:
    """name -> address, of the networks' blocks of a hosts file."""
    found = {}
    inside = False
    for line in Path(path).read_text().splitlines():
        inside = (inside or line.startswith("# network")) and not line.startswith("# end")
        if inside and not line.startswith("#"):
            address, *names = line.split()
            found.update(dict.fromkeys(names, address))
    return found


def run_all(bodies: Sequence[Callable[[], object]]) -> list[int]:
    """Run each in a process of its own, all at once; gives their exit codes."""
    reading, writing = os.pipe()
    pids = []
    for body in bodies:
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)  # until all are there
            try:
                body()
                os._exit(0)
            except BaseException:
                os._exit(1)
        pids.append(pid)
    os.close(reading)
    os.close(writing)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_create_get_list_remove(tmp_path: Path, isolated: Isolated) -> None:
    """A network is kept with what was asked for, found by name and by id, listed, and gone when removed."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        made = networks.create("front", subnet="10.91.0.0/24", gateway="10.91.0.9", labels={"who": "me"}, mtu=1400)
        assert (made.subnet, made.gateway, made.internal, made.mtu) == ("10.91.0.0/24", "10.91.0.9", False, 1400)
        assert dict(made.labels) == {"who": "me"}
        assert abs(made.created - time.time()) < 60
        other = networks.create("back", internal=True, labels=[("a", "b")])
        assert networks.get("front") == made
        assert networks.get(other.id[:12]) == other
        assert networks.list() == (other, made)
        assert Networks(tmp_path / "networks", prefix="t").list() == (other, made)
        networks.remove("front")
        assert networks.list() == (other,)
        assert failure(lambda: networks.get("front"))[0] == "NotFoundError"
        assert failure(lambda: networks.remove("front"))[0] == "NotFoundError"
        networks.create("front", subnet="10.91.0.0/24")

    isolated(body)


def test_the_default_network_makes_itself(tmp_path: Path, isolated: Isolated) -> None:
    """`bridge` exists from its first use on, can be removed while unused, and comes back."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        made = networks.ensure_default()
        assert (made.name, made.bridge, made.subnet) == ("bridge", "t0", "10.80.0.0/22")
        assert networks.ensure_default() == made == networks.get("bridge")
        networks.remove("bridge")
        assert networks.list() == ()
        assert networks.everything()[0].subnet == ""
        assert networks.get("bridge").id == made.id

    isolated(body)


@pytest.mark.parametrize("name", ["", "-a", ".hidden", "a/b", "..", "a b", "ü", "x" * 129, "a\0b", "a\n"])
def test_malformed_names_are_refused(tmp_path: Path, name: str) -> None:
    """A name that could be a path, an option or two words is no name, for no operation."""
    networks = Networks(tmp_path / "networks", prefix="t")
    for operation in (networks.create, networks.get, networks.remove):
        with pytest.raises(InvalidError, match="invalid network name"):
            operation(name)


def test_mistakes_are_named(tmp_path: Path, isolated: Isolated) -> None:
    """Taken and predefined names, bad subnets, gateways and MTUs are one clear error each, and leave nothing behind."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("taken", subnet="10.91.0.0/24")
        for name in ("host", "none", "bridge"):
            assert failure(lambda name=name: networks.create(name)) == [  # type: ignore[misc]
                "ConflictError",
                f"network {name} is predefined (choose another name)",
            ]
        assert "exists already" in failure(lambda: networks.create("taken"))[1]
        assert "overlaps network taken" in failure(lambda: networks.create("x", subnet="10.91.0.128/25"))[1]
        assert "10.92.0.0/24" in failure(lambda: networks.create("x", subnet="10.92.0.5/24"))[1]
        assert (
            "gateway 10.93.0.1" in failure(lambda: networks.create("x", subnet="10.92.0.0/24", gateway="10.93.0.1"))[1]
        )
        assert failure(lambda: networks.create("x", mtu=20))[0] == "InvalidError"
        assert [network.name for network in networks.list()] == ["taken"]
        with Netlink() as netlink:
            assert len([link for link in netlink.links() if link.kind == "bridge"]) == 1

    isolated(body)


def test_a_subnet_avoids_the_hosts_routes(tmp_path: Path, isolated: Isolated) -> None:
    """What the host routes elsewhere is not taken, and is refused when asked for by name."""

    def body() -> None:
        with Netlink() as netlink:
            netlink.add_bridge("other")
            netlink.add_address(index_of("other"), "10.80.1.1/23")
            netlink.set_link("other", up=True)
        networks = Networks(tmp_path / "networks", prefix="t")
        assert networks.create("a").subnet == "10.80.2.0/24"
        kind, message = failure(lambda: networks.create("b", subnet="10.80.0.0/24"))
        assert kind == "ConflictError"
        assert "10.80.0.0/23" in message

    isolated(body)


def test_two_engines_on_one_host_do_not_meet(tmp_path: Path, isolated: Isolated) -> None:
    """Engines with different folders get different bridges, tables and subnets, also when they start at the
    same time.
    """

    def body() -> None:
        engines = [Networks(tmp_path / str(number) / "networks") for number in range(6)]
        assert run_all([engine.ensure_default for engine in engines]) == [0] * 6
        found = [engine.ensure_default() for engine in engines]
        assert len({network.subnet for network in found}) == 6
        assert len({network.bridge for network in found}) == 6

    isolated(body)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_addresses_are_given_once_to_two_hundred_processes(tmp_path: Path, isolated: Isolated) -> None:
    """200 processes that join at once get 200 addresses, and every one's hosts file knows all of them."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.ensure_default()

        def join(number: int) -> Callable[[], object]:
            path = str(tmp_path / f"hosts{number}")
            return lambda: networks.reserve("bridge", f"c{number}", (f"name{number}",), hosts_path=path)

        assert run_all([join(number) for number in range(200)]) == [0] * 200
        everyone = networks.attachments("bridge")
        assert len({attachment.address for attachment in everyone}) == 200
        assert len({attachment.host_interface for attachment in everyone}) == 200
        assert all(len(attachment.host_interface) <= 15 for attachment in everyone)
        expected = {attachment.names[0]: attachment.address for attachment in everyone}
        assert len(expected) == 200
        assert all(peers(tmp_path / f"hosts{number}") == expected for number in range(200))
        codes = run_all([partial(networks.release, f"c{number}") for number in range(200)])
        assert codes == [0] * 200
        assert networks.attachments("bridge") == ()
        assert os.listdir(tmp_path / "networks/bridge/addresses") == []  # noqa: PTH208

    isolated(body)


def test_what_an_attachment_says(tmp_path: Path, isolated: Isolated) -> None:
    """Address, mac, gateway and names are there; an internal network has no gateway; all survive JSON."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("open", subnet="10.91.0.0/24", mtu=1300)
        networks.create("shut", subnet="10.92.0.0/24", internal=True)
        one = networks.reserve("open", "c1", ("web", "www"))
        assert (one.address, one.length, one.gateway, one.mac) == ("10.91.0.2", 24, "10.91.0.1", "02:42:0a:5b:00:02")
        assert (one.interface, one.mtu, one.names, one.shared) == ("eth0", 1300, ("web", "www"), False)
        two = networks.reserve("shut", "c1", ("web",), interface="eth1", wanted="10.92.0.77")
        assert (two.address, two.gateway, two.interface) == ("10.92.0.77", "", "eth1")
        assert type(one).from_json(one.to_json()) == one
        assert networks.attachments("open") == (one,)

    isolated(body)


def test_addresses_are_not_reused_at_once(tmp_path: Path, isolated: Isolated) -> None:
    """A released address is the last to be given again; a full network says so; the gateway's is never given."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("small", subnet="10.91.0.0/29")
        first = networks.reserve("small", "c0", ("a",))
        networks.release("c0")
        given = [networks.reserve("small", f"c{number}", ("a",)).address for number in range(1, 6)]
        assert first.address == "10.91.0.2"
        assert given == ["10.91.0.3", "10.91.0.4", "10.91.0.5", "10.91.0.6", "10.91.0.2"]
        kind, message = failure(lambda: networks.reserve("small", "c9", ("a",)))
        assert kind == "SandboxError"
        assert "no free address" in message
        assert failure(lambda: networks.reserve("small", "c9", ("a",), wanted="10.91.0.3"))[0] == "ConflictError"
        for wanted in ("10.91.0.1", "10.91.0.0", "10.91.0.7", "10.95.0.1", "x"):
            problem = failure(lambda wanted=wanted: networks.reserve("small", "c9", ("a",), wanted=wanted))  # type: ignore[misc]
            assert problem[0] == "InvalidError"
        networks.release("c3")
        assert failure(lambda: networks.reserve("small", "c1", ("a",)))[0] == "ConflictError"
        assert networks.reserve("small", "c9", ("a",), wanted="10.91.0.5").address == "10.91.0.5"

    isolated(body)


def test_hosts_files_follow_who_joins_and_leaves(tmp_path: Path, isolated: Isolated) -> None:
    """A newcomer's file knows everybody, the others' files know the newcomer, with all names; leaving takes them out
    again.
    """

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("net", subnet="10.91.0.0/24")
        files = {name: tmp_path / name for name in ("web", "db")}
        networks.reserve("net", "1", ("web", "www"), hosts_path=str(files["web"]), extra_hosts=[("far", "1.2.3.4")])
        inode = files["web"].stat().st_ino
        networks.reserve("net", "2", ("db",), hosts_path=str(files["db"]))
        expected = {"web": "10.91.0.2", "www": "10.91.0.2", "db": "10.91.0.3"}
        assert peers(files["web"]) == peers(files["db"]) == expected
        assert files["web"].read_text().startswith("127.0.0.1\tlocalhost\n")
        assert "1.2.3.4\tfar\n" in files["web"].read_text()
        assert "far" not in files["db"].read_text()
        assert networks.hosts("net", for_container="2") == (("10.91.0.3", ("db",)), ("10.91.0.2", ("web", "www")))
        networks.release("2")
        assert peers(files["web"]) == {"web": "10.91.0.2", "www": "10.91.0.2"}
        assert files["web"].stat().st_ino == inode
        files["db"].unlink()
        networks.release("1")
        assert networks.attachments("net") == ()
        assert not files["db"].exists()

    isolated(body)


def test_a_container_in_two_networks_knows_both(tmp_path: Path, isolated: Isolated) -> None:
    """Each network has its own block in the file; leaving is leaving all."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("one", subnet="10.91.0.0/24")
        networks.create("two", subnet="10.92.0.0/24")
        path = tmp_path / "hosts"
        networks.reserve("one", "me", ("me",), hosts_path=str(path))
        networks.reserve("two", "me", ("me",), hosts_path=str(path), interface="eth1")
        networks.reserve("two", "db", ("db",))
        assert path.read_text().count("# network") == 2
        assert path.read_text().count("localhost\n") == 1
        assert peers(path)["db"] == "10.92.0.3"
        networks.release("me")
        assert [one.container for one in networks.attachments("two")] == ["db"]
        assert networks.attachments("one") == ()

    isolated(body)


def test_a_newcomer_whose_file_cannot_be_made_has_not_joined(tmp_path: Path, isolated: Isolated) -> None:
    """The address is given back when the hosts file is impossible; a peer's impossible file keeps nobody out."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("net")
        with contextlib.suppress(OSError):
            networks.reserve("net", "1", ("a",), hosts_path=str(tmp_path / "missing/hosts"))
        assert networks.attachments("net") == ()
        path = tmp_path / "hosts"
        networks.reserve("net", "2", ("b",), hosts_path=str(path))
        path.unlink()
        path.mkdir()
        assert networks.reserve("net", "3", ("c",)).names == ("c",)

    isolated(body)


def test_names_on_the_hosts_own_network(tmp_path: Path, isolated: Isolated) -> None:
    """Containers that share the host's network find each other at 127.0.0.1, and those on the bridge find them at the
    gateway.
    """

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("net", subnet="10.91.0.0/24")
        files = [tmp_path / name for name in "abc"]
        one = networks.reserve_host("net", "1", ("web",), hosts_path=str(files[0]), extra_hosts=[("x", "1.2.3.4")])
        networks.reserve_host("net", "2", ("db", "sql"), hosts_path=str(files[1]))
        networks.reserve("net", "3", ("bridged",), hosts_path=str(files[2]))
        networks.connect(one, -1)  # nothing to connect
        assert one.shared
        assert one.address == "127.0.0.1"
        shared = {"web": "127.0.0.1", "db": "127.0.0.1", "sql": "127.0.0.1", "bridged": "10.91.0.2"}
        assert peers(files[0]) == peers(files[1]) == shared
        assert peers(files[2]) == {"web": "10.91.0.1", "db": "10.91.0.1", "sql": "10.91.0.1", "bridged": "10.91.0.2"}
        assert "1.2.3.4\tx\n" in files[0].read_text()
        assert failure(lambda: networks.reserve_host("net", "2", ("db",)))[0] == "ConflictError"
        networks.release("2")
        assert "db" not in peers(files[0])

    isolated(body)


def test_a_network_in_use_is_not_removed(tmp_path: Path, isolated: Isolated) -> None:
    """The error names the containers; after they are gone it works."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("net")
        networks.reserve("net", "0123456789abcdef", ("a",))
        networks.reserve_host("net", "fedcba9876543210", ("b",))
        kind, message = failure(lambda: networks.remove("net"))
        assert kind == "ConflictError"
        assert "0123456789ab, fedcba987654" in message
        networks.release("0123456789abcdef")
        networks.release("fedcba9876543210")
        networks.release("never seen")
        networks.remove("net")
        assert failure(lambda: networks.reserve("net", "1", ("a",)))[0] == "NotFoundError"

    isolated(body)


def test_reclaim_gives_back_what_the_dead_had(tmp_path: Path, isolated: Isolated) -> None:
    """Addresses of dead containers, half-made files and folders of killed processes, and unknown bridges are gone; the
    living stay.
    """

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("net", subnet="10.91.0.0/24")
        hosts = tmp_path / "hosts"
        networks.reserve("net", "alive", ("a",), hosts_path=str(hosts))
        networks.reserve("net", "dead", ("d",))
        folder = tmp_path / "networks/net"
        (folder / "addresses/10.91.0.50").write_text("")
        (folder / "addresses/10.91.0.51").write_text("{")
        (folder / "containers/ghost").symlink_to("10.91.0.60")
        (tmp_path / "networks/.new-1").mkdir()
        (tmp_path / "networks/.old-1/addresses").mkdir(parents=True)
        (tmp_path / "networks/.old-1/network.json").write_text("{}")
        assert networks.reserve("net", "ghost", ("g",)).address == "10.91.0.4"
        networks.reclaim(lambda container: container in ("alive", "ghost"))
        assert [one.container for one in networks.attachments("net")] == ["alive", "ghost"]
        assert peers(hosts) == {"a": "10.91.0.2", "g": "10.91.0.4"}
        left = sorted(path.name for path in (tmp_path / "networks").iterdir())
        assert left == [".lock", "net"]
        assert sorted(path.name for path in (folder / "containers").iterdir()) == ["alive", "ghost"]

    isolated(body)


def test_networks_that_a_power_loss_has_emptied(tmp_path: Path, isolated: Isolated) -> None:
    """Their names are free, the default one is made again, reclaim removes the rest, and others are not concerned."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        kept = networks.create("kept", subnet="10.91.0.0/24")
        networks.ensure_default()
        for name in ("taken", "swept"):
            networks.create(name)
            networks.reserve(name, "dead", ("d",))
        for name, record in (("bridge", b""), ("taken", b"\0" * 300), ("swept", b"")):
            (tmp_path / "networks" / name / "network.json").write_bytes(record)
        assert networks.list() == (kept,)
        assert failure(lambda: networks.get("taken"))[0] == "NotFoundError"
        assert networks.attachments(networks.create("taken")) == ()
        assert networks.reserve(networks.ensure_default(), "new", ("new",)).network == "bridge"
        networks.release("dead")
        networks.reclaim(lambda container: container == "new")
        left = sorted(path.name for path in (tmp_path / "networks").iterdir())
        assert left == [".lock", "bridge", "kept", "taken"]

    isolated(body)


def test_killed_at_any_moment_leaves_nothing_lasting(tmp_path: Path, isolated: Isolated) -> None:
    """Processes killed while they join, leave, make and remove networks: after a reclaim all is whole and free
    again.
    """

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")
        networks.create("net", subnet="10.91.0.0/24")

        def work() -> None:
            while True:
                own = f"c{os.getpid()}"
                networks.reserve("net", own, (own,), hosts_path=str(tmp_path / own))
                networks.release(own)

        for turn in range(30):
            pid = os.fork()
            if pid == 0:
                with contextlib.suppress(BaseException):
                    work()
                os._exit(0)
            time.sleep(0.002 + turn * 0.000_3)
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        networks.reclaim(lambda _: False)
        assert networks.attachments("net") == ()
        for place in ("addresses", "containers"):
            assert list((tmp_path / "networks/net" / place).iterdir()) == []
        assert networks.reserve("net", "new", ("new",)).names == ("new",)

    isolated(body)


def test_removing_while_others_join(tmp_path: Path, isolated: Isolated) -> None:
    """Of a removal and many joins at once, either the joins find no network or the removal finds it in use."""

    def body() -> None:
        networks = Networks(tmp_path / "networks", prefix="t")

        def join(number: int) -> None:
            with contextlib.suppress(NotFoundError):
                networks.reserve("net", f"c{number}", ("a",))

        def leave() -> None:
            with contextlib.suppress(ConflictError):
                networks.remove("net")

        for _ in range(3):
            networks.create("net")
            joins = [partial(join, number) for number in range(8)]
            assert run_all([*joins[:3], leave, *joins[3:]]) == [0] * 9
            if networks.list():
                assert len(networks.attachments("net")) == 8
                networks.reclaim(lambda _: False)
                networks.remove("net")

    isolated(body)


def test_a_prefix_that_makes_no_interface_names(tmp_path: Path) -> None:
    """Too long or with odd characters it is refused."""
    for prefix in ("toolongbyfar", "a-b", "ü"):
        with pytest.raises(InvalidError, match="prefix"):
            Networks(tmp_path, prefix=prefix)
