"""What the engine keeps on the host for its networks: bridges and rules, lost, taken, forbidden or somebody else's."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel import capabilities, holding, mounts
from sandbox.kernel.namespaces import Flags, setns, unshare
from sandbox.kernel.netlink import Netlink, index_of
from sandbox.network import rules, uplink
from sandbox.network.interface import configure
from sandbox.network.networks import Networks
from tests.sandbox.network.isolation import HOST, MISSING, OUTSIDE, Host, Place, bridges, nft

if TYPE_CHECKING:
    from tests.sandbox.network.isolation import Isolated

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there")


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
            assert new.misses(at_red.address)

    isolated(body)


def test_a_bridge_keeps_its_mtu(tmp_path: Path, isolated: Isolated) -> None:
    """Also after its last port is gone, when the kernel would go back to 1500."""

    def body() -> None:
        host = Host(tmp_path)
        place, (attachment,) = host.container("one", "bridge")
        with Netlink() as netlink:
            netlink.delete_link(attachment.host_interface)
            found = netlink.link("t0")
        assert found is not None
        assert found.mtu == 1400
        del place

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
        Networks(tmp_path / "dead/too/networks", prefix="bare").ensure_default()
        with Netlink() as netlink:
            netlink.delete_link("bare0")  # what a process leaves that is killed between the two
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
        assert "inet bare" not in tables
        assert living.get("bridge") == kept

    isolated(body)


def test_an_engine_that_sees_other_folders_removes_no_bridges(tmp_path: Path, isolated: Isolated) -> None:
    """In a chroot with the host's network the folders of the host's engines are not there; they are not gone."""

    def body() -> None:
        Networks(tmp_path / "host/networks", prefix="host").ensure_default()
        elsewhere = tmp_path / "root"
        (elsewhere / "proc").mkdir(parents=True)
        unshare(Flags.NEWNS)
        mounts.mount("", "/", "", mounts.Mount.PRIVATE | mounts.Mount.REC)
        mounts.mount("/proc", str(elsewhere / "proc"), "", mounts.Mount.BIND | mounts.Mount.REC)
        for name in ("usr", "lib", "lib64", "bin", "sbin", "etc"):
            if Path(f"/{name}").exists():
                (elsewhere / name).mkdir()
                mounts.mount(f"/{name}", str(elsewhere / name), "", mounts.Mount.BIND | mounts.Mount.REC)
        os.chroot(elsewhere)
        os.chdir("/")
        nested = Networks(Path("/networks"), prefix="nested")
        nested.ensure_default()
        nested.reclaim(lambda _: False)
        assert bridges() == ["host0", "nested0"]
        assert "inet host" in nft("list", "tables")

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


def test_an_ordinary_user_changes_nothing_on_the_host(
    tmp_path: Path, isolated: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bridges are made in a namespace of his own; a namespace that is not his is refused, if the kernel does so;
    without a way out that is said.
    """

    def body() -> dict[str, str]:
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(Flags.NEWUSER)  # root of a user namespace that does not own the network namespace
        Path("/proc/self/uid_map").write_text("0 0 1")
        holding.stay(tmp_path)
        networks = Networks(tmp_path / "networks", prefix="t")
        assert networks.held
        assert networks.lacking().startswith("slirp4netns (and") == (not uplink.find())
        said = {}
        monkeypatch.setattr(uplink, "find", lambda: "")
        for name, internal in (("inner", True), ("outer", False)):
            networks.create(name, internal=internal)
            attachment = networks.reserve(name, "one", ("one",))
            try:
                networks.connect(attachment, here)
                said[name] = "connected"
            except SandboxError as error:
                said[name] = error.reference
            networks.release("one")
            networks.reclaim(lambda _: True)
            networks.remove(name)
        assert bridges() == []
        return said

    if os.geteuid() == 0:
        tmp_path.chmod(0o777)
        for folder in (*tmp_path.parents,):
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
    # Before "rtnetlink: add missing netlink_ns_capable() check for peer netns" (2026) the kernel let anybody put the
    # other end of a veth pair anywhere.
    inner = ("network-not-permitted", "connected")
    assert isolated(body) in [{"inner": one, "outer": "no-uplink"} for one in inner]


def test_what_is_lacking_is_named(tmp_path: Path, isolated: Isolated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on a host of one's own with nft; nft, or the right to make bridges, where there is none."""

    def body() -> list[str]:
        networks = Networks(tmp_path / "networks", prefix="t")
        said = [networks.lacking()]
        with monkeypatch.context() as without:
            without.setattr(rules, "is_installed", lambda: False)
            said.append(networks.lacking())
        capabilities.apply(frozenset())
        return [*said, networks.lacking()]

    assert isolated(body) == ["", "nftables", "CAP_NET_ADMIN"]


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
