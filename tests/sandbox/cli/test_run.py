"""`sandbox run` and `create` as processes: streams, exit codes, signals, what is left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
RUN = ("run", "--rm", "--network", "none")


def test_streams_and_exit_code_are_the_commands_own(sandbox: Sandbox) -> None:
    """Output goes to output, errors to errors, the code is passed on."""
    done = sandbox(*RUN, "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["nosuch"], 127, "cannot run 'nosuch'"),
        (["/etc/passwd"], 126, "cannot run '/etc/passwd'"),
        (["/etc"], 126, "cannot run '/etc'"),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),  # the first process cannot kill itself
    ],
)
def test_docker_s_exit_codes(sandbox: Sandbox, command: list[str], code: int, message: str) -> None:
    """127 for a command that is not there, 126 for one that cannot be run, 128+n for a death by signal n."""
    done = sandbox(*RUN, "busybox", *command)
    assert done.returncode == code
    assert done.stderr.startswith(f"sandbox: {message}") if message else "sandbox:" not in done.stderr
    assert done.stderr.count("\n") <= 1


def test_standard_input_is_read_with_i_alone(sandbox: Sandbox) -> None:
    """With -i the container reads what we are given to its end; without, it has no input."""
    assert sandbox(*RUN, "-i", "busybox", "cat", stdin="hello\n").stdout == "hello\n"
    assert sandbox(*RUN, "busybox", "cat", stdin="hello\n").stdout == ""


def test_much_goes_through_both_ways(sandbox: Sandbox) -> None:
    """Megabytes in and out arrive whole, and neither direction waits for the other for ever."""
    text = "".join(f"line {number}\n" for number in range(200_000))
    assert sandbox(*RUN, "-i", "busybox", "cat", stdin=text).stdout == text


def test_output_to_a_file_that_is_appended_to(sandbox: Sandbox, tmp_path: Path) -> None:
    """`>>` works, where splice(2) does not."""
    file = tmp_path / "out"
    file.write_text("before\n")
    with file.open("a") as stream:
        subprocess.run([*COMMAND, *RUN, "busybox", "echo", "after"], env=sandbox.environment, stdout=stream, check=True)
    assert file.read_text() == "before\nafter\n"


def test_a_slow_reader_gets_everything(sandbox: Sandbox) -> None:
    """A reader that begins long after the container could have ended misses nothing."""
    with subprocess.Popen([*COMMAND, *RUN, "busybox", "seq", "100000"], env=sandbox.environment,
                          stdout=subprocess.PIPE, text=True) as running:  # fmt: skip
        time.sleep(0.5)
        assert running.stdout is not None
        assert running.stdout.read().splitlines()[-1] == "100000"
    assert running.returncode == 0


@pytest.mark.slow
def test_a_very_slow_reader_gets_everything(sandbox: Sandbox) -> None:
    """Nor does a pager's user who reads the first page for long, while the container has ended.

    What it printed is as much as fits into all the pipes on the way.
    """
    with subprocess.Popen(
        [*COMMAND, *RUN, "busybox", "seq", "40000"], env=sandbox.environment, stdout=subprocess.PIPE, text=True
    ) as running:
        time.sleep(7)
        assert running.stdout is not None
        assert len(running.stdout.read().splitlines()) == 40_000
    assert running.returncode == 0


def test_a_reader_that_leaves_ends_it(sandbox: Sandbox, name: str) -> None:
    """`run --rm … yes | head -1` ends, quietly, and leaves no container."""
    line = " ".join([*COMMAND, *RUN, "--name", name, "busybox", "yes"])
    script = f"{line} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env=sandbox.environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout, done.stderr) == ("y\n141\n", "")
    assert sandbox("inspect", "--type", "container", name).returncode == 125


def test_a_reader_that_leaves_does_not_end_a_container_that_stays(sandbox: Sandbox, name: str) -> None:
    """Without --rm only the command ends; the container goes on and its log has everything."""
    words = ("run", "--network", "none", "--name", name, "busybox", "sh", "-c", "yes | head -n 300000; sleep 1000")
    line = " ".join(map(shlex.quote, [*COMMAND, *words]))
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -n 1"],
        env=sandbox.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("y\n", "")
    deadline = time.monotonic() + 20
    while sandbox("logs", name).stdout != "y\n" * 300_000 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sandbox("logs", name).stdout == "y\n" * 300_000
    assert sandbox("inspect", "-f", "{{.State.Running}}", name).stdout == "true\n"


def test_a_closed_standard_output(sandbox: Sandbox) -> None:
    """With `>&-` output goes nowhere; no descriptor of ours takes its place."""
    line = " ".join([*COMMAND, *RUN, "busybox", "echo", "lost"])
    done = subprocess.run(["sh", "-c", f"{line} >&- <&-"], env=sandbox.environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_full_disk_at_the_other_end(sandbox: Sandbox) -> None:
    """Output that cannot be written is an error of ours, told in one line."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, *RUN, "busybox", "echo", "x"], env=sandbox.environment, stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.stderr == "sandbox: cannot write to standard output: no space left on device\n"
    assert done.returncode == 125


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(sandbox: Sandbox, name: str, number: int) -> None:
    """A signal to the command is one to the container's process; the exit code is still the container's."""
    script = f"trap 'echo caught; exit 7' {number}; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen([*COMMAND, *RUN, "--name", name, "busybox", "sh", "-c", script], env=sandbox.environment,
                          stdout=subprocess.PIPE, text=True) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        assert running.stdout.read() == "caught\n"
    assert running.returncode == 7


def test_a_signal_during_the_start_is_not_lost(sandbox: Sandbox, name: str) -> None:
    """Ctrl-C while the container is being started reaches it: nothing goes on in the background unseen."""
    script = "trap 'exit 7' INT; while :; do sleep 0.05; done"
    made = f"{sandbox.environment['HAKO_HOME']}/containers/names/{name}"  # the first that a start leaves to see
    with subprocess.Popen([*COMMAND, *RUN, "--name", name, "busybox", "sh", "-c", script],
                          env=sandbox.environment) as running:  # fmt: skip
        deadline = time.monotonic() + 20
        while not os.path.lexists(made) and time.monotonic() < deadline:
            time.sleep(0.001)
        while running.poll() is None and time.monotonic() < deadline:
            running.send_signal(signal.SIGINT)
            time.sleep(0.01)
    assert running.returncode in (7, 130)
    assert sandbox("inspect", "--type", "container", name).returncode == 125


def test_in_the_background(sandbox: Sandbox, name: str) -> None:
    """-d prints the id at once, and the container goes on without us."""
    done = sandbox("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "100")
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
    inspected = json.loads(sandbox("inspect", name).stdout)[0]
    assert inspected["Id"] == done.stdout.strip()
    assert inspected["State"]["Running"]


def test_options_arrive_in_the_container(sandbox: Sandbox, tmp_path: Path) -> None:
    """Environment, directory, user, name, mounts and a read-only root are as asked for."""
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("content\n")
    line = (
        f"-e A=1 -e TAKEN -w /tmp/deep -u 1000:1001 -h box -v {tmp_path}:/data:ro --tmpfs /scratch --read-only "
        "--entrypoint /bin/sh busybox -c"
    )
    script = (
        "echo $A $TAKEN $(pwd) $(id -u):$(id -g) $(hostname) $(cat /data/file);"
        "touch /data/x 2>/dev/null || echo read-only data; touch /x 2>/dev/null || echo read-only root;"
        "touch /scratch/x && echo scratch"
    )
    done = sandbox(*RUN, *line.split(), script, TAKEN="here")
    assert done.stdout.splitlines() == [
        "1 here /tmp/deep 1000:1001 box content",
        "read-only data",
        "read-only root",
        "scratch",
    ]


def test_a_relative_path_is_the_callers(sandbox: Sandbox, tmp_path: Path) -> None:
    """`-v ./x:/x` means our working directory."""
    (tmp_path / "file").write_text("content\n")
    done = subprocess.run(
        [*COMMAND, *RUN, "-v", "./file:/file:ro", "busybox", "cat", "/file"],
        env=sandbox.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "content\n", done.stderr


def test_the_bridge(sandbox: Sandbox) -> None:
    """Without --network there is an interface with an address."""
    done = sandbox("run", "--rm", "busybox", "ip", "-o", "-4", "address", "show", "eth0")
    assert re.search(r"inet 10\.\d+\.\d+\.\d+/", done.stdout), done.stderr


def test_a_plan_is_printed_and_nothing_done(sandbox: Sandbox, name: str) -> None:
    """--plan lists the operations of both sides, in order, and makes no container."""
    done = sandbox("run", "--plan", "--name", name, "busybox", "true")
    lines = done.stdout.splitlines()
    sides = [line.partition("  ")[0] for line in lines]
    assert sides == sorted(sides)
    assert set(sides) == {"host", "init"}
    assert lines[0].startswith("host  unshare-mounts")
    assert lines[-1].startswith("init  execute argv=")
    assert sandbox("inspect", "--type", "container", name).returncode == 125


def test_a_name_in_use(sandbox: Sandbox, name: str) -> None:
    """The message says whose the name is and what to do."""
    first = sandbox("create", "--name", name, "busybox", "true").stdout[:12]
    done = sandbox("create", "--name", name, "busybox", "true")
    assert done.returncode == 125
    assert done.stderr == (
        f"sandbox: the name {name!r} is in use by container {first} "
        f"(remove it with `sandbox rm {name}`, or choose another name)\n"
    )


def test_created_containers_are_started_with_their_own_streams(sandbox: Sandbox, name: str) -> None:
    """`create`, then `start -a -i` as often as one likes: output, input and code as with `run`."""
    script = "read line; echo got $line; exit 4"
    sandbox("create", "-i", "--network", "none", "--name", name, "busybox", "sh", "-c", script)
    for word in ("one", "two"):
        done = sandbox("start", "-a", "-i", name, stdin=f"{word}\n")
        assert (done.stdout, done.returncode) == (f"got {word}\n", 4)
    assert sandbox("start", name).stdout == f"{name}\n"
    assert sandbox("start", "-a", name, name).returncode == 2


def test_a_missing_image_that_can_be_made_is_made(empty: Sandbox) -> None:
    """`run busybox` on a fresh machine says what it does, and does it; not with --pull never."""
    refused = empty(*RUN, "--pull", "never", "busybox", "true")
    assert refused.returncode == 125
    assert refused.stderr == (
        "sandbox: no image 'busybox' (without --pull never it is fetched; `sandbox images` lists what there is)\n"
    )
    made = empty(*RUN, "busybox", "echo", "hello")
    assert made.stdout == "hello\n"
    assert made.stderr.startswith("sandbox: image 'busybox' is not here; making it (sandbox bootstrap busybox)\n")
    assert empty(*RUN, "busybox", "echo", "again").stderr == ""


def test_a_killed_supervisor_does_not_keep_a_name(sandbox: Sandbox, name: str) -> None:
    """After the supervisor of a --rm container was killed its name is free for the next run."""
    words = (*RUN[:2], "-d", *RUN[2:], "--name", name, "busybox", "sleep", "100")
    identifier = sandbox(*words).stdout.strip()
    supervisor = f"hako:{identifier[:10]}"
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if comm.read_text().strip() == supervisor:
                os.kill(int(comm.parent.name), signal.SIGKILL)
                break
    else:
        pytest.fail("no supervisor")
    assert sandbox(*words).returncode == 0


@pytest.mark.root
def test_no_line_shows_python(sandbox: Sandbox) -> None:
    """A real plan has no records, tuples, None or True of Python in it, and no made-up id."""
    done = sandbox("run", "--plan", "-m", "64m", "-v", "/etc/hostname:/h:ro", "--tmpfs", "/t", "-t", "busybox", "true")
    assert done.returncode == 0, done.stderr
    wrong = [
        text for text in done.stdout.splitlines() if re.search(r"\w\(\w+=|=\(|='|\bNone\b|\bTrue\b|0000000000", text)
    ]
    assert not wrong
