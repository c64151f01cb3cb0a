"""`sandbox network …` and the options of `run` about networks, on real containers."""

from __future__ import annotations

import json
import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root


@pytest.fixture
def network(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A network's name that nobody else uses; it is removed at the end, after the container `name`."""
    chosen = f"net-{uuid.uuid4().hex[:12]}"
    yield chosen
    sandbox("rm", "-f", name)
    sandbox("network", "rm", "-f", chosen, f"{chosen}-2")


def inspected(sandbox: Sandbox, *words: str) -> dict[str, Any]:
    """The one answer of an inspection."""
    (found,) = json.loads(sandbox(*words).stdout)
    assert isinstance(found, dict)
    return found


def interfaces(sandbox: Sandbox, name: str) -> dict[str, str]:
    """name -> IPv4 address inside a container."""
    lines = sandbox("exec", name, "ip", "-o", "-4", "addr").stdout.splitlines()
    return {line.split()[1]: line.split()[3] for line in lines if " lo " not in line}


def test_everything_that_create_takes(sandbox: Sandbox, network: str, name: str) -> None:
    """Subnets of both families, gateway, range, MTU, bridge's name and labels arrive, and containers live by them."""
    words = "--subnet 10.87.250.0/24 --gateway 10.87.250.254 --ip-range 10.87.250.128/25 --subnet fd00:87:250::/64 "
    words += f"--label a=b -o mtu=1280 -o com.docker.network.bridge.name=hkt{network[-8:]} {network}"
    done = sandbox("network", "create", *words.split())
    assert done.returncode == 0, done.stderr
    found = inspected(sandbox, "network", "inspect", network)
    assert found["Id"] == done.stdout.strip()
    assert found["IPAM"]["Config"] == [
        {"Subnet": "10.87.250.0/24", "IPRange": "10.87.250.128/25", "Gateway": "10.87.250.254"},
        {"Subnet": "fd00:87:250::/64", "Gateway": "fd00:87:250::1"},
    ]
    assert (found["EnableIPv6"], found["Labels"]) == (True, {"a": "b"})
    assert found["Options"]["com.docker.network.bridge.name"] == f"hkt{network[-8:]}"
    sandbox("run", "-d", "--name", name, "--network", network, "--network-alias", "db", "busybox", "sleep", "1000")
    (inside,) = inspected(sandbox, "network", "inspect", network)["Containers"].values()
    assert inside["Name"] == name
    assert inside["IPv4Address"] == "10.87.250.128/24"
    assert inside["IPv6Address"] == "fd00:87:250::80/64"
    script = "ip addr show eth0; ip route; ping -c 1 -W 5 db"
    done = sandbox("run", "--rm", "--network", network, "--ip", "10.87.250.7", "--ip6", "fd00:87:250::77", "busybox",
                   "sh", "-c", script)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for part in ("mtu 1280", "inet 10.87.250.7/24", "inet6 fd00:87:250::77/64", "default via 10.87.250.254"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--subnet 10.87.251.0/33 x", "unusable size"),
        ("--subnet 10.87.251.0/24 --subnet 10.87.252.0/24 x", "is a second one"),
        ("--subnet 10.87.251.0/24 --ip-range 10.87.252.0/25 x", "is not inside the subnet"),
        ("--subnet 10.87.251.0/24 --gateway 10.87.252.1 x", "is no address for a host"),
        ("--gateway fd00::1 x", "needs an IPv6 subnet"),
        ("-o mtu=big x", "--opt mtu=big is not a number"),
        ("-o com.docker.network.bridge.name=lo x", "an interface lo exists already"),
        ("-o com.docker.network.bridge.name=a/b x", "invalid name of a bridge"),
        ("-d overlay x", "--driver 'overlay' is unknown"),
    ],
)
def test_mistakes_of_create(sandbox: Sandbox, words: str, message: str) -> None:
    """One line that says what is wrong, and no network."""
    done = sandbox("network", "create", *words.split())
    assert done.returncode in (2, 125)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "x" not in sandbox("network", "ls", "-f", "name=x", "-q").stdout.split()


def test_networks_are_joined_and_left(sandbox: Sandbox, network: str, name: str) -> None:
    """While the container runs, with another name there; the way out moves when its network is left; all stays over a
    restart.
    """
    other = f"{network}-2"
    for one in (network, other):
        assert sandbox("network", "create", one).returncode == 0
    sandbox("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "1000")
    done = sandbox("network", "connect", "--alias", "nick", other, name)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    before = interfaces(sandbox, name)
    assert list(before) == ["eth0", "eth1"]
    assert sandbox("run", "--rm", "--network", other, "busybox", "ping", "-c", "1", "-W", "5", "nick").returncode == 0
    assert list(inspected(sandbox, "inspect", name)["NetworkSettings"]["Networks"]) == [network, other]
    assert sandbox("ps", "-q", "--filter", f"network={other}").stdout.count("\n") == 1
    assert f"{network},{other}" in sandbox("ps", "--format", "{{.Networks}}").stdout
    assert "is in network" in sandbox("network", "connect", other, name).stderr
    assert f"is in use by {inspected(sandbox, 'inspect', name)['Id'][:12]}" in sandbox("network", "rm", other).stderr

    assert sandbox("network", "disconnect", network, name).returncode == 0
    assert list(interfaces(sandbox, name)) == ["eth1"]
    assert "default via" in sandbox("exec", name, "ip", "route").stdout
    hosts = sandbox("exec", name, "cat", "/etc/hosts").stdout
    assert f"# network {other}" in hosts
    assert f"# network {network}," not in hosts
    assert "is not in network" in sandbox("network", "disconnect", network, name).stderr
    assert inspected(sandbox, "network", "inspect", network)["Containers"] == {}

    sandbox("stop", "-t", "0", name)
    assert sandbox("network", "connect", "--ip", "1.2.3.4", network, name).returncode == 0
    done = sandbox("start", name)
    assert "1.2.3.4 is no address for a container" in done.stderr
    assert sandbox("network", "disconnect", network, name).returncode == 0
    assert sandbox("start", name).returncode == 0
    assert list(interfaces(sandbox, name)) == ["eth0"]
    done = sandbox("network", "connect", "--ip", "1.2.3.4", network, name)
    assert done.returncode == 125
    assert list(interfaces(sandbox, name)) == ["eth0"]
    assert list(inspected(sandbox, "inspect", name)["NetworkSettings"]["Networks"]) == [other]


def test_a_container_without_a_network_joins_one(sandbox: Sandbox, network: str, name: str) -> None:
    """From `none` in, with a way out; one of the host's network is refused."""
    sandbox("network", "create", network)
    sandbox("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000")
    assert sandbox("network", "connect", network, name).returncode == 0
    assert "default via" in sandbox("exec", name, "ip", "route").stdout
    assert sandbox("network", "disconnect", network, name).returncode == 0
    assert interfaces(sandbox, name) == {}
    assert "network 'host'" in sandbox("network", "connect", "host", name).stderr
    sandbox("rm", "-f", name)
    sandbox("run", "-d", "--name", name, "--network", "host", "busybox", "sleep", "1000")
    done = sandbox("network", "connect", network, name)
    assert done.returncode == 125
    assert "has the network 'host'" in done.stderr


def test_what_nobody_uses_is_pruned(sandbox: Sandbox, network: str, name: str) -> None:
    """By label here, for others use the state directory, too; one with a running container stays, as do the predefined
    ones; `rm` refuses those, and with -f is silent about what is not there.
    """
    other = f"{network}-2"
    for one in (network, other):
        sandbox("network", "create", "--label", f"for={network}", one)
    sandbox("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "1000")
    assert sandbox("network", "ls", "-q", "-f", "dangling=true", "-f", f"name={network}").stdout.count("\n") == 1
    done = sandbox("network", "prune", "-f", "--filter", f"label=for={network}")
    assert done.stdout == f"{other}\n"
    assert "predefined" in sandbox("network", "rm", "bridge").stderr
    assert sandbox("network", "rm", other).returncode == 125
    assert sandbox("network", "rm", "-f", other).returncode == 0


def test_names_are_resolved_inside(sandbox: Sandbox, network: str, name: str) -> None:
    """By the engine's resolver in networks that were made, also after joining one; several with one alias are all
    found, addresses lead back to names.
    """
    sandbox("network", "create", network)
    sandbox("run", "-d", "--name", name, "--network-alias", "db", "busybox", "sleep", "1000")
    assert "127.0.0.11" not in sandbox("exec", name, "cat", "/etc/resolv.conf").stdout
    assert sandbox("network", "connect", "--alias", "db", network, name).returncode == 0
    assert sandbox("exec", name, "cat", "/etc/resolv.conf").stdout.startswith("nameserver 127.0.0.11\n")
    script = "nslookup db; nslookup $(ip -o -4 addr show eth0 | awk '{split($4, a, \"/\"); print a[1]}'); "
    script += "cat /etc/resolv.conf"
    done = sandbox("run", "--rm", "--network", network, "--network-alias", "db", "--dns-option", "timeout:1",
                   "--name", f"{name}-2", "busybox", "sh", "-c", script)  # fmt: skip
    assert done.stdout.count("Name:\tdb") == 2, done.stdout + done.stderr
    assert f"name = {name}-2.{network}" in done.stdout
    assert done.stdout.endswith("options timeout:1 ndots:0\n")
    inside = sandbox("exec", name, "nslookup", f"{name}.{network}")
    assert f"Name:\t{name}.{network}" in inside.stdout


def test_a_renamed_container_is_found_by_its_new_name(sandbox: Sandbox, network: str, name: str) -> None:
    """And not by its old one, in hosts files and by the resolver; aliases stay."""
    sandbox("network", "create", network)
    old = f"{name}-old"
    sandbox("run", "-d", "--name", old, "--network", network, "--network-alias", "db", "busybox", "sleep", "1000")
    assert sandbox("rename", old, name).returncode == 0
    script = f"nslookup {name}; nslookup db; nslookup {old}.{network}; cat /etc/hosts"
    done = sandbox("run", "--rm", "--network", network, "busybox", "sh", "-c", script)
    assert done.stdout.count(f"Name:\t{name}\n") == done.stdout.count("Name:\tdb\n") == 1, done.stdout
    assert f"{name} db\n" in done.stdout
    assert f"Name:\t{old}" not in done.stdout
    assert f"{old} " not in done.stdout
    assert name in sandbox("network", "inspect", network).stdout


def test_what_resolv_conf_and_hosts_are_given(sandbox: Sandbox) -> None:
    """--dns, --dns-search, --dns-option and --add-host, with the host itself; without networks, too."""
    words = ("--dns", "10.0.0.53", "--dns", "fd00::53", "--dns-search", "corp.example", "--dns-option", "ndots:2")
    for network in ("bridge", "none", "host"):
        done = sandbox("run", "--rm", "--network", network, *words, "busybox", "cat", "/etc/resolv.conf")
        assert done.stdout == "nameserver 10.0.0.53\nnameserver fd00::53\nsearch corp.example\noptions ndots:2\n"
    script = "cat /etc/resolv.conf; grep me$ /etc/hosts; grep you$ /etc/hosts; ip route"
    done = sandbox("run", "--rm", "--dns-search", ".", "--add-host", "me:host-gateway", "--add-host", "you=10.1.2.3",
                   "busybox", "sh", "-c", script)  # fmt: skip
    assert "search" not in done.stdout
    gateway = next(line.split()[2] for line in done.stdout.splitlines() if line.startswith("default"))
    assert f"{gateway}\tme\n10.1.2.3\tyou\n" in done.stdout
    for wrong, message in (("--dns=x", "is not an address"), ("--dns-search=a b", "is not one word")):
        done = sandbox("run", "--rm", wrong, "busybox", "true")
        assert done.returncode == 125
        assert message in done.stderr


def test_another_container_s_network(sandbox: Sandbox, network: str, name: str) -> None:
    """Both have one loopback, one address, one host name and the same files; each other's processes they do not see.
    What only the first can have is refused, and so is one that does not run.
    """
    sandbox("network", "create", network)
    script = "echo welcome >/tmp/index.html; exec httpd -f -p 127.0.0.1:80 -h /tmp"
    sandbox("run", "-d", "--name", name, "--network", network, "--add-host", "x:1.2.3.4", "busybox", "sh", "-c", script)
    joined = ("run", "--rm", "--network", f"container:{name}", "busybox", "sh", "-c")
    inside = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 127.0.0.1 80 | tail -n 1; ps | grep -c [h]ttpd; "
    inside += "cat /etc/hosts; hostname; ls /sys/class/net; echo x >/sys/class/net/lo/mtu"
    done = sandbox(*joined, inside)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["welcome", "0"], done.stdout + done.stderr
    hosts = sandbox("exec", name, "cat", "/etc/hosts").stdout.splitlines()
    assert lines[2:-3] == hosts
    assert lines[-3:] == [sandbox("exec", name, "hostname").stdout.strip(), "eth0", "lo"]
    assert "Read-only file system" in done.stderr
    denied = sandbox("run", "--rm", "--cap-add", "NET_ADMIN", *joined[2:], "ip link set eth0 down")
    assert denied.returncode != 0
    assert "eth0" in interfaces(sandbox, name)

    second = f"{name}-2"
    try:
        sandbox("run", "-d", "--name", second, *joined[2:5], "sleep", "1000")
        assert interfaces(sandbox, second) == interfaces(sandbox, name)
        assert "can be in no other" in sandbox("network", "connect", "bridge", second).stderr
        sandbox("stop", "-t", "0", name)
        assert interfaces(sandbox, second) == {}  # its address may be another's by now
        sandbox("stop", "-t", "0", second)
        done = sandbox("start", second)
        assert (done.returncode, "which is not running" in done.stderr) == (125, True)
    finally:
        sandbox("rm", "-f", second)
    for option in ("-p=80", "--hostname=x", "--dns=1.1.1.1", "--ip=10.0.0.1", "--add-host=a:1.2.3.4"):
        done = sandbox("run", "--rm", option, "--network", f"container:{name}", "busybox", "true")
        assert "conflicting options: " in done.stderr
        assert done.returncode == 125
    assert (
        "no such container" in sandbox("run", "--rm", "--network", "container:nosuch", "busybox", "true").stderr.lower()
    )


def test_another_container_s_network_that_is_the_host_s(sandbox: Sandbox, name: str) -> None:
    """Then it is the host's for both."""
    sandbox("run", "-d", "--name", name, "--network", "host", "busybox", "sleep", "1000")
    words = ("busybox", "cat", "/proc/net/dev")
    ours = sandbox("exec", name, *words[1:]).stdout
    done = sandbox("run", "--rm", "--network", f"container:{name}", *words)
    assert done.returncode == 0, done.stderr
    assert "lo:" in done.stdout
    for bridge in ("hako0", "eth0"):  # of this host, if it has any
        assert (f"{bridge}:" in done.stdout) == (f"{bridge}:" in ours)


@pytest.mark.parametrize("ipv6", [False, True])
def test_ports_at_ipv6_addresses(sandbox: Sandbox, network: str, name: str, ipv6: bool) -> None:
    """They lead to a container, whether that has an IPv6 address or not, from the host's loopback address, too."""
    sandbox("network", "create", *(("--ipv6",) if ipv6 else ()), network)
    server = "echo ready > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    ports = ("-p", "[::1]::80", "-p", "[::]::80")
    done = sandbox("run", "-d", "--name", name, "--network", network, *ports, "busybox", "sh", "-c", server)
    assert done.returncode == 0, done.stderr
    sandbox("exec", name, "sh", "-c", "until wget -qO /dev/null http://127.0.0.1/; do sleep 0.1; done")
    lines = sorted(sandbox("port", name, "80").stdout.splitlines(), reverse=True)
    assert [line.rpartition(":")[0] for line in lines] == ["[::]", "[::1]"]
    for line in lines:
        with socket.create_connection(("::1", int(line.rpartition(":")[2])), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with client.makefile() as answer:
                assert answer.read().endswith("ready\n")
    assert "[::1]:" in sandbox("ps").stdout


def test_sctp(sandbox: Sandbox, network: str, name: str) -> None:
    """It is published where the kernel has it, else one line says what is missing; never without a word."""
    sandbox("network", "create", network)
    command = ("run", "-d", "--name", name, "--network", network, "-p", "127.0.0.1::80/sctp", "busybox", "sleep", "100")
    done = sandbox(*command)
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError:
        assert done.returncode == 125
        assert done.stderr.startswith("sandbox: bind for 127.0.0.1:0 failed: this host's kernel has no SCTP")
        assert done.stderr.count("\n") == 1
    else:
        assert sandbox("port", name, "80/sctp").stdout.startswith("127.0.0.1:")
    refused = sandbox("run", "--rm", "--network", network, "-p", "[::1]:9999:80/sctp", "busybox", "true")
    assert "80/sctp cannot be published here: only tcp and udp are forwarded" in refused.stderr
    assert refused.stderr.count("\n") == 1
