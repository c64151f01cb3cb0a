"""The verbs that look at containers and images and end them, on real ones."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
QUIET = ("--network", "none")
BOTH = "echo one; sleep 0.02; echo two >&2; sleep 0.02; echo three"


def background(sandbox: Sandbox, name: str, *command: str) -> str:
    """A container that runs; its id."""
    done = sandbox("run", "-d", *QUIET, "--name", name, "busybox", *(command or ("sleep", "1000")))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def row(sandbox: Sandbox, name: str) -> dict[str, str]:
    """What `ps -a` says of it."""
    rows = [json.loads(line) for line in sandbox("ps", "-a", "--format", "json").stdout.splitlines()]
    return next(found for found in rows if found["Names"] == name)


def test_ps_tells_a_container_s_life(sandbox: Sandbox, name: str) -> None:
    """Created, up, exited; only those that run without -a."""
    script = "trap 'exit 5' TERM; while :; do sleep 0.05; done"
    identifier = sandbox("create", *QUIET, "--name", name, "busybox", "sh", "-c", script).stdout.strip()
    created = row(sandbox, name)
    assert (created["ID"], created["Image"], created["Status"]) == (identifier[:12], "busybox", "Created")
    assert created["Command"] == "\"sh -c trap 'exit 5'…\""
    sandbox("start", name)
    assert identifier[:12] in sandbox("ps", "-q").stdout.split()
    assert row(sandbox, name)["Status"].startswith("Up ")
    sandbox("stop", name)
    assert sandbox("wait", name).stdout == "5\n"
    assert re.fullmatch(r"Exited \(5\) .* ago", row(sandbox, name)["Status"])
    assert identifier[:12] not in sandbox("ps", "-q").stdout.split()
    assert identifier in sandbox("ps", "-a", "-q", "--no-trunc").stdout.split()
    assert sandbox("ps").stdout.startswith("CONTAINER ID   IMAGE ")


def test_logs_keep_the_streams_apart(sandbox: Sandbox, name: str) -> None:
    """Output to output, errors to errors, the last lines, times in front."""
    background(sandbox, name, "sh", "-c", BOTH)
    sandbox("wait", name)
    done = sandbox("logs", name)
    assert (done.stdout, done.stderr) == ("one\nthree\n", "two\n")
    done = sandbox("logs", "--tail", "2", name)
    assert (done.stdout, done.stderr) == ("three\n", "two\n")
    assert sandbox("logs", "-n0", name).stdout == ""
    stamped = sandbox("logs", "-t", name).stdout.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (one|three)$", line) for line in stamped)


def test_logs_can_be_followed(sandbox: Sandbox, name: str) -> None:
    """-f goes on until the container has ended, and has all of it."""
    background(sandbox, name, "sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.1; done")
    assert sandbox("logs", "-f", name).stdout == "1\n2\n3\n4\n"


def test_exec_runs_beside(sandbox: Sandbox, name: str) -> None:
    """A further process has its own streams, environment, user, directory and exit code."""
    background(sandbox, name)
    done = sandbox("exec", "-e", "A=1", "-u", "1000", "-w", "/tmp", name, "sh", "-c",
                   "echo $A $(id -u) $(pwd); echo err >&2; exit 9")  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("1 1000 /tmp\n", "err\n", 9)
    assert sandbox("exec", "-i", name, "cat", stdin="hello").stdout == "hello"
    assert sandbox("exec", name, "cat", stdin="hello").stdout == ""
    missing = sandbox("exec", name, "nosuch")
    assert missing.returncode == 127
    assert missing.stderr.startswith("sandbox: cannot run 'nosuch'")
    assert sandbox("exec", name, "/etc/passwd").returncode == 126


def test_exec_does_not_wait_for_the_background(sandbox: Sandbox, name: str) -> None:
    """A process that the command leaves behind holds its output open, and nobody up."""
    background(sandbox, name)
    begun = time.monotonic()
    assert sandbox("exec", name, "sh", "-c", "sleep 30 & echo done").stdout == "done\n"
    assert time.monotonic() - begun < 10


def test_exec_in_the_background(sandbox: Sandbox, name: str) -> None:
    """-d returns at once and the process goes on."""
    background(sandbox, name)
    assert sandbox("exec", "-d", name, "sh", "-c", "sleep 0.1; echo x > /done").returncode == 0
    deadline = time.monotonic() + 10
    while sandbox("exec", name, "cat", "/done").stdout != "x\n" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sandbox("exec", name, "cat", "/done").stdout == "x\n"


def test_exec_passes_signals_on(sandbox: Sandbox, name: str) -> None:
    """Ctrl-C ends the process in the container, not only us."""
    background(sandbox, name)
    with subprocess.Popen([*COMMAND, "exec", name, "sh", "-c", "echo ready; exec sleep 100"],
                          env=sandbox.environment, stdout=subprocess.PIPE, text=True) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.terminate()
        assert running.wait(10) == 143
    assert "sleep 100" not in sandbox("exec", name, "ps").stdout.replace("sleep 1000", "")


def test_exec_needs_a_running_container(sandbox: Sandbox, name: str) -> None:
    """One that has ended is named."""
    identifier = sandbox("create", *QUIET, "--name", name, "busybox", "true").stdout.strip()
    done = sandbox("exec", name, "true")
    assert done.returncode == 125
    assert done.stderr == (f"sandbox: container {identifier[:12]} is not running (`sandbox ps -a` shows its state)\n")


def test_stop_asks_first(sandbox: Sandbox, name: str) -> None:
    """A container that listens ends by itself; stopping it again is no error."""
    background(sandbox, name, "sh", "-c", "trap 'exit 6' TERM; while :; do sleep 0.05; done")
    assert sandbox("stop", name).stdout == f"{name}\n"
    assert sandbox("wait", name).stdout == "6\n"
    assert sandbox("stop", name).returncode == 0


def test_stop_kills_what_does_not_listen(sandbox: Sandbox, name: str) -> None:
    """After -t seconds."""
    background(sandbox, name)
    assert sandbox("stop", "-t", "0", name).returncode == 0
    assert sandbox("wait", name).stdout == "137\n"


@pytest.mark.slow
def test_several_are_stopped_at_once(sandbox: Sandbox, name: str) -> None:
    """Two that do not listen take as long as one."""
    names = [name, f"{name}-2"]
    for each in names:
        background(sandbox, each)
    begun = time.monotonic()
    done = sandbox("stop", "-t", "2", *names, "nosuch")
    assert time.monotonic() - begun < 3.9
    assert done.stdout == "".join(f"{each}\n" for each in names)
    assert done.returncode == 125
    assert done.stderr.startswith("sandbox: no such container: nosuch")
    sandbox("rm", *names)


def test_kill_sends_a_signal(sandbox: Sandbox, name: str) -> None:
    """By name or number; an unknown one is refused."""
    background(sandbox, name, "sh", "-c", "trap 'echo usr1' USR1; trap 'exit 3' INT; while :; do sleep 0.02; done")
    time.sleep(0.1)
    assert sandbox("kill", "-s", "USR1", name).stdout == f"{name}\n"
    time.sleep(0.1)
    assert sandbox("kill", "--signal=2", name).returncode == 0
    assert sandbox("wait", name).stdout == "3\n"
    assert sandbox("logs", name).stdout == "usr1\n"
    assert sandbox("kill", "-s", "NONE", name).stderr.startswith("sandbox: no signal is called 'NONE'")
    assert sandbox("kill", name).returncode == 125


def test_rm_refuses_what_runs(sandbox: Sandbox, name: str) -> None:
    """Without -f; with it the container ends first, and one that is not there is no failure."""
    background(sandbox, name)
    refused = sandbox("rm", name)
    assert refused.returncode == 125
    assert refused.stderr == (
        f"sandbox: container {name} is running (stop it first: `sandbox stop {name}`, or use `sandbox rm -f`)\n"
    )
    assert sandbox("rm", "-f", name).stdout == f"{name}\n"
    gone = sandbox("rm", "-f", name)
    assert (gone.returncode, gone.stdout, gone.stderr) == (0, "", f"sandbox: no such container: {name}\n")


def test_several_are_removed_whatever_becomes_of_the_others(sandbox: Sandbox, name: str) -> None:
    """Each is told, the code is that of the first error."""
    sandbox("create", *QUIET, "--name", name, "busybox", "true")
    done = sandbox("rm", "nosuch", name)
    assert (done.returncode, done.stdout) == (125, f"{name}\n")


def test_inspect(sandbox: Sandbox, name: str) -> None:
    """Containers, images and networks in docker's shapes, several at once, and by a template."""
    identifier = background(sandbox, name)
    container, image = json.loads(sandbox("inspect", name, "busybox").stdout)
    assert (container["Id"], container["Name"], container["State"]["Running"]) == (identifier, f"/{name}", True)
    assert image["RepoTags"] == ["busybox:latest"]
    assert image["Config"]["Cmd"] == ["sh"]
    assert sandbox("inspect", "-f", "{{.State.Status}} {{json .Config.Cmd}}", name).stdout == (
        'running ["sleep","1000"]\n'
    )
    partly = sandbox("inspect", "nosuch", "busybox")
    assert partly.returncode == 125
    assert [found["RepoTags"] for found in json.loads(partly.stdout)] == [["busybox:latest"]]
    assert partly.stderr.startswith("sandbox: no container, image, network or volume 'nosuch'")


def test_nobody_s_text_moves_our_cursor(sandbox: Sandbox, name: str) -> None:
    """Labels, comments and commands are shown without control characters; programs get them whole."""
    evil = "\x1b[2Jgone\x07"
    sandbox("create", *QUIET, "--name", name, "--label", f"a={evil}", "busybox", "true", evil)
    assert sandbox("ps", "-a", "--format", "table {{.Labels}}", "--filter", f"name={name}").stdout.endswith(
        "a=?[2Jgone?\n"
    )
    assert "\x1b" not in sandbox("ps", "-a", "--no-trunc").stdout
    assert evil in sandbox("ps", "-a", "--format", "{{.Labels}}", "--filter", f"name={name}").stdout
    assert "a=?[2Jgone?" in sandbox("events", "--since", "1m", "--until", "0s", "--filter", f"container={name}").stdout
    sandbox("commit", "--message", evil, name, f"{name}:evil")
    try:
        told = sandbox("history", f"{name}:evil").stdout
    finally:
        sandbox("rmi", f"{name}:evil")
    assert "?[2Jgone?" in told
    assert "\x1b" not in told


def test_inspect_with_sizes(sandbox: Sandbox, name: str) -> None:
    """What a container has written, and that with its image; without being asked nobody adds it up."""
    sandbox("run", *QUIET, "--name", name, "busybox", "sh", "-c", "head -c 100000 /dev/zero > /file")
    sizes = "{{.SizeRw}} {{.SizeRootFs}}"
    own, whole = map(int, sandbox("inspect", "--size", "--format", sizes, name).stdout.split())
    image = int(sandbox("image", "inspect", "--format", "{{.Size}}", "busybox").stdout)
    assert 100_000 <= own < 200_000
    assert whole == own + image
    assert sandbox("inspect", "--format", sizes, name).stdout == "<no value> <no value>\n"


def test_images_are_listed_tagged_and_removed(empty: Sandbox) -> None:
    """A whole life of an image, in a state directory of its own."""
    assert empty("images").stdout == "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n"
    made = empty("bootstrap", "busybox")
    assert (made.returncode, made.stdout[:7]) == (0, "sha256:")
    again = empty("bootstrap", "busybox")
    assert again.stdout == made.stdout
    assert again.stderr == "busybox:latest is here already; --force makes it anew\n"
    assert empty("tag", "busybox", "mine/box:1").returncode == 0
    form = "{{.Repository}} {{.Tag}} {{.ID}}"
    short = made.stdout.strip().removeprefix("sha256:")[:12]
    assert sorted(empty("images", "--format", form).stdout.splitlines()) == [
        f"busybox latest {short}",
        f"mine/box 1 {short}",
    ]
    assert empty("images", "--format", form, "mine/box").stdout == f"mine/box 1 {short}\n"
    empty("create", "--network", "none", "--name", "user", "busybox", "true")
    assert empty("rmi", "busybox").stdout == "Untagged: busybox:latest\n"
    used = empty("rmi", "mine/box:1")
    assert used.returncode == 125
    assert "in use by container user" in used.stderr
    empty("rm", "user")
    removed = empty("rmi", "mine/box:1").stdout.splitlines()
    assert removed[0] == "Untagged: mine/box:1"
    assert removed[1].startswith(f"Deleted: {made.stdout.strip()}")
    assert empty("images", "-q").stdout == ""


def test_predefined_networks_are_listed_and_inspected(empty: Sandbox) -> None:
    """As docker does, also before anything was run."""
    rows = [json.loads(line) for line in empty("network", "ls", "--format", "json").stdout.splitlines()]
    assert [(row["Name"], row["Driver"]) for row in rows] == [("bridge", "bridge"), ("host", "host"), ("none", "null")]
    (found,) = json.loads(empty("network", "inspect", "none").stdout)
    assert (found["Driver"], found["IPAM"]["Config"], found["Containers"]) == ("null", [], {})


@pytest.mark.slow
def test_networks_are_made_listed_and_removed(sandbox: Sandbox, name: str) -> None:
    """A network whose containers find each other by name; one that is in use stays."""
    created = sandbox("network", "create", "--label", "a=b", name)
    assert created.returncode == 0, created.stderr
    try:
        rows = [json.loads(line) for line in sandbox("network", "ls", "--format", "json").stdout.splitlines()]
        found = next(each for each in rows if each["Name"] == name)
        assert created.stdout.strip().startswith(found["ID"])
        assert found["Labels"] == "a=b"
        words = ("run", "-d", "--network", name, "--name", name, "--network-alias", "db", "busybox", "sleep", "1000")
        started = sandbox(*words)
        assert started.returncode == 0, started.stderr
        # One of three: a bridge's port is not open before the kernel's list of link events has come to it.
        peer = sandbox("run", "--rm", "--network", name, "busybox", "ping", "-c", "3", "-W", "2", "db")
        assert peer.returncode == 0, peer.stdout + peer.stderr
        (inspected,) = json.loads(sandbox("network", "inspect", name).stdout)
        assert [each["Name"] for each in inspected["Containers"].values()] == [name]
        assert inspected["IPAM"]["Config"][0]["Subnet"] == found["Subnet"]
        assert "is in use by" in sandbox("network", "rm", name).stderr
        sandbox("rm", "-f", name)
    finally:
        sandbox("rm", "-f", name)
        assert sandbox("network", "rm", name).stdout == f"{name}\n"


def test_system(sandbox: Sandbox) -> None:
    """What there is, and what is given back."""
    assert f"state directory:  {sandbox.environment['HAKO_HOME']}\n" in sandbox("system", "info").stdout
    assert sandbox("system", "reclaim").returncode == 0


def test_system_reclaim_after_a_killed_build(sandbox: Sandbox, name: str) -> None:
    """The container of a step goes, also when it had ended before its build was killed or the machine lost power."""
    label = "hako.build=image-of-a-build-that-is-gone"
    assert sandbox("create", *QUIET, "--name", name, "--label", label, "busybox", "true").returncode == 0
    assert sandbox("system", "reclaim").returncode == 0
    assert sandbox("inspect", name).returncode != 0


def test_volume_verbs(sandbox: Sandbox, name: str) -> None:
    """Create, list, look, use, refuse while in use, remove, and -v of rm."""
    assert sandbox("volume", "create", "--label", "a=1", name).stdout == f"{name}\n"
    try:
        assert sandbox("volume", "ls", "-q", "--filter", f"name={name}", "--filter", "label=a=1").stdout == f"{name}\n"
        assert sandbox("volume", "ls", "-q", "--filter", f"name={name}", "--filter", "label=a=2").stdout == ""
        found = json.loads(sandbox("volume", "inspect", name).stdout)[0]
        assert (found["Name"], found["Labels"], found["Driver"]) == (name, {"a": "1"}, "local")
        assert json.loads(sandbox("inspect", name).stdout)[0] == found
        sandbox("create", *QUIET, "--name", name, "-v", f"{name}:/data", "-v", "/cache", "busybox", "true")
        refused = sandbox("volume", "rm", name)
        assert refused.returncode == 125
        assert refused.stderr.startswith(f"sandbox: volume {name} is in use by {name} ")
        anonymous = json.loads(sandbox("inspect", name).stdout)[0]["Mounts"][1]["Name"]
        assert sandbox("rm", "-v", name).returncode == 0
        assert anonymous not in sandbox("volume", "ls", "-q").stdout.split()
    finally:
        assert sandbox("volume", "rm", name).returncode == 0
    missing = sandbox("volume", "inspect", name)
    assert missing.stderr == f"sandbox: no such volume: {name} (`sandbox volume ls` lists them)\n"
