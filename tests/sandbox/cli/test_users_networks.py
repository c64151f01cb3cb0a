"""Networks of somebody who is not root: the same as root's, in a namespace of his own, with one way out for all."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel.namespaces import Flags
from sandbox.network import uplink
from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges, in_child
from tests.sandbox.network.isolation import MISSING
from tests.sandbox.runtime.person import Person, person

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there"),
    pytest.mark.skipif(not uplink.find(), reason="slirp4netns is not installed, or /dev/net/tun not usable"),
]
SERVER = "echo ready > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


@contextlib.contextmanager
def somebody_with_busybox() -> Iterator[Person]:
    """An ordinary user, whose containers end with the test."""
    try:
        account = account_with_ranges()
    except pytest.skip.Exception:
        account = account_without_ranges()
    with person(account) as found:
        made = found.sandbox("bootstrap", "busybox")
        assert made.returncode == 0, made.stderr
        yield found
    _wait_for(lambda: not processes(found))


@pytest.fixture
def somebody() -> Iterator[Person]:
    """An ordinary user, whose containers end with the test."""
    with somebody_with_busybox() as found:
        yield found


def ok(somebody: Person, *words: str) -> str:
    """What the command prints, which succeeds without a warning."""
    done = somebody.sandbox(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def serve(somebody: Person, name: str, *options: str) -> None:
    """Have a container serve a page at port 8080."""
    ok(somebody, "run", "-d", "--name", name, *options, "busybox", "sh", "-c", SERVER)
    wait(somebody, name)


def wait(somebody: Person, name: str) -> None:
    """Until it does."""
    ok(somebody, "exec", name, "sh", "-c", "until wget -qO /dev/null http://127.0.0.1:8080/ 2>&-; do sleep 0.1; done")


def inside(somebody: Person, network: str, command: str) -> str:
    """What a shell prints in a container of that network."""
    # `timeout` kills its parent, which must not be the first process
    done = somebody.sandbox("run", "--rm", "--network", network, "busybox", "sh", "-c", f"{command}; true")
    assert "warning" not in done.stderr
    return done.stdout


def processes(somebody: Person) -> dict[str, int]:
    """The holder and the way out of this person's engine: names and pids."""
    found = {}
    holder = _living(somebody.home / ".local/share/hako/holder/process")
    if holder:
        found["holder"] = holder
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes().startswith(b"slirp4netns") and _same_pipe(int(path.parent.name), holder):
                    found["slirp4netns"] = int(path.parent.name)
    return found


def _living(record: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        pid = int(record.read_text().split()[0])
        return pid if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" else 0
    return 0


def _same_pipe(pid: int, holder: int) -> bool:
    return Path(f"/proc/{pid}/fd/4").readlink() == Path(f"/proc/{holder}/fd/3").readlink()


def _wait_for(true: object) -> None:
    limit = time.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert time.monotonic() < limit
        time.sleep(0.02)


def fetch(address: str, port: int) -> str:
    """The page that a server there has; "" where nobody answers."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
        return answer.decode().partition("\r\n\r\n")[2]
    return ""


def published(somebody: Person, name: str, port: str) -> list[int]:
    """The host's ports that lead to a container's."""
    return [int(line.rpartition(":")[2]) for line in ok(somebody, "port", name, port).splitlines()]


def test_containers_reach_one_another(somebody: Person) -> None:
    """By name, by alias and by address, on the default network and on one that was made, and by published ports from
    the host at both families' loopback addresses; not from one network to another.
    """
    ok(somebody, "network", "create", "red")
    ports = ("-p", "127.0.0.1::8080", "-p", "[::1]::8080")
    serve(somebody, "web", "--network", "red", "--network-alias", "www", *ports)
    address = ok(somebody, "inspect", "--format", "{{.NetworkSettings.Networks.red.IPAddress}}", "web").strip()
    names = ("web", "www", "web.red", address)
    command = "".join(f"wget -qO- http://{name}:8080/; " for name in names) + "cat /etc/resolv.conf"
    assert inside(somebody, "red", command).splitlines() == ["ready"] * 4 + ["nameserver 127.0.0.11", "options ndots:0"]
    assert inside(somebody, "bridge", f"timeout 1 wget -qO- http://{address}:8080/") == ""
    first, second = published(somebody, "web", "8080")
    assert (fetch("127.0.0.1", first), fetch("::1", second)) == ("ready\n", "ready\n")
    assert set(processes(somebody)) == {"holder", "slirp4netns"}
    serve(somebody, "there")
    assert inside(somebody, "bridge", "wget -qO- http://there:8080/") == "ready\n"
    ok(somebody, "network", "connect", "red", "there")
    assert ok(somebody, "exec", "there", "wget", "-qO-", "http://www:8080/") == "ready\n"
    ok(somebody, "network", "disconnect", "red", "there")
    asked = somebody.sandbox("exec", "there", "timeout", "1", "wget", "-qO-", f"http://{address}:8080/")
    assert asked.stdout == ""
    joined = ("run", "--rm", "--network", "container:web", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/")
    assert ok(somebody, *joined) == "ready\n"
    ok(somebody, "rm", "-f", "web", "there")
    ok(somebody, "network", "rm", "red")
    assert (fetch("127.0.0.1", first), fetch("::1", second)) == ("", "")


def test_the_host_is_out_of_reach(somebody: Person) -> None:
    """What listens on its loopback addresses and its abstract sockets; internal networks have no way out at all, not by
    the resolver either, and need no program for one.
    """
    name = f"\0hako-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen(1)
        server.setblocking(False)
        port = server.getsockname()[1]
        addresses = "10.0.2.2 127.0.0.1 $(ip route | grep default | cut -d' ' -f3)"
        script = f"for at in {addresses}; do timeout 1 nc $at {port}; done; cat /proc/net/unix"
        assert "@hako-" not in inside(somebody, "bridge", script)
        with pytest.raises(BlockingIOError):
            server.accept()
    ok(somebody, "network", "create", "--internal", "inner")
    serve(somebody, "one", "--network", "inner")
    assert set(processes(somebody)) == {"holder"}
    ask = "wget -qO- http://one:8080/; ip route; nslookup outside.test; timeout 1 nc 10.0.2.3 53"
    said = inside(somebody, "inner", ask)
    assert said.startswith("ready\n")
    assert "default" not in said
    assert "NXDOMAIN" in said


def test_the_host_by_name(somebody: Person) -> None:
    """`host-gateway` leads to what listens at the host's own addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no way out")
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        port = server.getsockname()[1]
        ask = ("sh", "-c", f"nc host {port} </dev/null")
        ok(somebody, "run", "-d", "--name", "one", "--add-host", "host:host-gateway", "busybox", *ask)
        server.settimeout(60)
        server.accept()[0].close()


def test_engines_do_not_meet(somebody: Person) -> None:
    """Two users' containers, with networks of the same name and the same addresses, do not see each other."""
    with somebody_with_busybox() as other:
        for one in (somebody, other):
            ok(one, "network", "create", "--subnet", "10.95.7.0/24", "same")
        serve(somebody, "web", "--network", "same")
        assert inside(somebody, "same", "wget -qO- http://web:8080/") == "ready\n"
        ask = "timeout 2 wget -qO- http://web:8080/; timeout 2 wget -qO- http://10.95.7.2:8080/ && echo met"
        assert inside(other, "same", ask) == ""
        assert processes(somebody)["holder"] > 0


@pytest.mark.parametrize("killed", ["slirp4netns", "holder"])
def test_after_a_kill(somebody: Person, killed: str) -> None:
    """What is left is gone or found again with the next container, which has all it needs."""
    ok(somebody, "network", "create", "red")
    serve(somebody, "web", "--network", "red")
    before = processes(somebody)
    os.kill(before[killed], signal.SIGKILL)
    _wait_for(lambda: processes(somebody).get(killed) != before[killed])
    serve(somebody, "next", "--network", "red")
    now = processes(somebody)
    assert set(now) == {"holder", "slirp4netns"}
    assert now[killed] != before[killed]
    assert inside(somebody, "red", "wget -qO- http://next:8080/") == "ready\n"
    met = inside(somebody, "red", "timeout 2 wget -qO- http://web:8080/")
    assert met == ("ready\n" if killed == "slirp4netns" else "")
    if killed == "holder":  # its containers have lost their network until they start again
        ok(somebody, "restart", "-t", "0", "web")
        wait(somebody, "web")
        assert inside(somebody, "red", "wget -qO- http://web:8080/") == "ready\n"
    ok(somebody, "rm", "-f", "web", "next")
    _wait_for(lambda: not processes(somebody))


def test_a_killed_supervisor_leaves_nothing(somebody: Person) -> None:
    """Its port is free at once, and with the last container the holder and the way out end."""
    serve(somebody, "web", "-p", "127.0.0.1::8080")
    (port,) = published(somebody, "web", "8080")
    state = Path(ok(somebody, "inspect", "--format", "{{.State.Pid}}", "web").strip())
    supervisor = int(Path(f"/proc/{state}/status").read_text().partition("PPid:")[2].split()[0])
    before = processes(somebody)
    os.kill(supervisor, signal.SIGKILL)
    _wait_for(lambda: not processes(somebody))
    _wait_for(lambda: not Path(f"/proc/{before['slirp4netns']}").exists() or _is_zombie(before["slirp4netns"]))
    ok(somebody, "run", "--rm", "--name", "next", "-p", f"127.0.0.1:{port}:8080", "busybox", "true")


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.root
def test_without_a_way_out(somebody: Person) -> None:
    """A container shares the host's network, with one warning, and has the names of its own; an internal network needs
    none, and is real.
    """
    poor = somebody._replace(tun="600")
    ok(poor, "network", "create", "red")
    ok(poor, "network", "create", "--internal", "inner")
    with socket.create_server(("127.0.0.1", 0)) as server:
        ask = f"grep -c red /etc/hosts; nc 127.0.0.1 {server.getsockname()[1]} </dev/null"
        server.settimeout(60)
        done = poor.sandbox("run", "-d", "--network", "red", "busybox", "sh", "-c", ask)
        assert done.returncode == 0
        server.accept()[0].close()
    assert done.stderr.count("\n") == 1
    assert "shares the host's; with slirp4netns (and a /dev/net/tun open to all)" in done.stderr
    assert "10.0.2." not in ok(poor, "run", "--rm", "--network", "inner", "busybox", "ip", "route")
    assert set(processes(somebody)) <= {"holder"}


@pytest.mark.root
def test_ipv6_leads_out() -> None:
    """From a network with IPv6 to where the host gets to by it, without a warning; not to the host's loopback."""
    outside, loopback = in_child(_reach_by_ipv6, flags=Flags.NEWNET)
    assert outside == "here\n"
    assert loopback == ""


def _reach_by_ipv6() -> tuple[str, str]:
    """In a network namespace that is the host's network, with one address: what is read from a server at that, and by
    the way out's gateway from one at the loopback address.
    """
    for words in (
        ("link", "set", "lo", "up"),
        ("link", "add", "out", "type", "veth", "peer", "name", "other"),
        ("link", "set", "other", "up"),
        ("link", "set", "out", "up"),
        ("-6", "address", "add", "2001:db8::1/64", "dev", "out", "nodad"),
    ):
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)
    servers = [socket.create_server((address, 8080), family=socket.AF_INET6) for address in ("2001:db8::1", "::1")]
    for server in servers:
        threading.Thread(target=_say_here, args=(server,), daemon=True).start()
    with somebody_with_busybox() as somebody:
        ok(somebody, "network", "create", "--ipv6", "six")
        script = "nc -w 10 2001:db8::1 8080 </dev/null"
        outside = ok(somebody, "run", "--rm", "--network", "six", "busybox", "sh", "-c", script)
        return outside, inside(somebody, "six", "for a in fd00::2 fd00::3; do nc -w 1 $a 8080 </dev/null; done")


def _say_here(server: socket.socket) -> None:
    while True:
        with server.accept()[0] as client:
            client.sendall(b"here\n")
