"""`ci-run local` from the outside: the command on the real engine, its output and exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.ci.cli.running import COMMAND, steps, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.root


def test_a_pipeline_that_passes(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """Every line with the step's name, a summary, exit code 0; the files are the work tree's, and stay so."""
    (project / "in").write_text("text\n")
    done = ci_run(steps("cat in", "echo out > out"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["one | + cat in", "one | text", "one | + echo out > out"]
    assert lines[3].startswith("one = passed in ")
    assert lines[5:7] == ["stage    step  result   time  exit", lines[6]]
    assert lines[6].startswith("default  one   passed  ")
    assert lines[-1].startswith("passed in ")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert not (project / "out").exists()


def test_a_pipeline_that_fails(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Exit code 1; the step's exit code is shown, the rest is skipped, steps for failures run."""
    done = ci_run("""
image: busybox
steps:
  - name: test
    commands: [exit 3]
  - name: deploy
    commands: [echo never]
  - name: tell
    commands: [echo told]
    when: {status: failure}
""")
    assert done.returncode == 1
    assert "test   ! failed with exit code 3 in " in done.stdout
    assert "deploy - skipped: test failed\n" in done.stdout
    assert "tell   | told\n" in done.stdout
    assert "never\n" not in done.stdout


def test_mistakes_are_shown_at_once_and_nothing_runs(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """All diagnostics, with line and column; exit code 2."""
    done = ci_run("image: busybox\nsteps:\n  - nam: a\n    commands: [true]\n  - name: b\n    comands: [true]\n")
    assert done.returncode == 2
    assert done.stdout == ""
    assert ".ci.yml:3:" in done.stderr
    assert ".ci.yml:6:" in done.stderr
    assert done.stderr.splitlines()[-1] == "ci-run: .ci.yml cannot be run (correct the mistakes above)"


def test_matrix_cells_do_not_see_each_other(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Each cell has a copy of the files; all run, more of them at once."""
    done = ci_run("""
image: busybox
matrix:
  v: ["1", "2", "3"]
steps:
  - name: write
    commands: ["[ ! -e made ]", "echo $v > made"]
  - name: read
    commands: ['[ "$(cat made)" = "$v" ]']
""")
    assert done.returncode == 0, done.stdout
    assert "default[2]/write | + echo $v > made\n" in done.stdout
    assert "3 of 3 stages passed" in done.stdout


def test_one_cell_can_be_chosen(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """--matrix, --only and --skip choose; what they do not know is said with exit code 2."""
    pipeline = """
image: busybox
matrix: {v: ["1", "2"]}
steps:
  - name: a
    commands: [echo $v]
  - name: b
    commands: [echo b]
"""
    done = ci_run(pipeline, "--matrix", "v=2", "--skip", "b")
    assert done.returncode == 0
    assert "a | 2\n" in done.stdout
    assert "| 1\n" not in done.stdout
    assert "b - skipped: left out\n" in done.stdout
    done = ci_run(pipeline, "--only", "c")
    assert (done.returncode, done.stderr) == (2, "ci-run: --only: no step or stage is called 'c' (there are: a, b)\n")


def test_variables_and_secrets_reach_the_steps(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The CI's own, --env, and secrets from all three places, which are masked in the output."""
    (tmp_path / "secrets").write_text("file=hunter22\n")
    pipeline = """
image: busybox
steps:
  - name: a
    environment: {A: "1", B: "1"}
    secrets: [file, given, {source: home, target: H}]
    commands:
      - echo $CI $CI_PIPELINE_EVENT $CI_COMMIT_BRANCH $A $B
      - echo "$FILE" "$GIVEN" "$H"; echo "$FILE" | wc -c
"""
    options = ("--secret-file", str(tmp_path / "secrets"), "--secret", "given=xyzzy", "--secret", "home")
    done = ci_run(pipeline, *options, "--env", "B=2", "--event", "manual", "--branch", "side", home="plugh")
    assert done.returncode == 0, done.stdout
    assert "a | hako manual side 1 2\n" in done.stdout
    assert "a | ******** ******** ********\na | 9\n" in done.stdout
    done = ci_run(pipeline, *options[:4])
    assert done.returncode == 2
    assert done.stderr.startswith('ci-run: 1 secret is not given: "home" (a, line 4) (')


def test_conditions_choose_steps(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A step whose `when` does not hold is in the summary only; without any there is nothing to do."""
    pipeline = """
image: busybox
steps:
  - name: a
    commands: [echo a]
  - name: b
    commands: [echo b]
    when: {event: tag}
"""
    done = ci_run(pipeline)
    assert done.returncode == 0
    assert "b     skipped               its conditions do not hold" in done.stdout
    assert "b | b" not in done.stdout
    done = ci_run("image: busybox\nwhen: {event: tag}\nsteps:\n  - name: a\n    commands: [echo a]\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "ci-run: nothing to do: the conditions of no stage hold for this push\n"


@pytest.mark.parametrize(
    ("pipeline", "line"),
    [
        (
            steps("true", image="nobody/nothing:1"),
            ".ci.yml:2: no image 'nobody/nothing:1' here, and registry 127.0.0.1:1 refuses connections",
        ),
        (
            "image: busybox\nsteps:\n  - name: a\n    privileged: true\n    commands: [x]\n",
            "line 3: a wants privileged",
        ),
        (
            "image: busybox\nsteps:\n  - name: a\n    volumes: ['/etc:/x']\n    commands: [x]\n",
            "line 3: a wants the host's folder /etc",
        ),
    ],
    ids=["image", "privileged", "host"],
)
def test_what_stands_in_the_way_is_one_line(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], pipeline: str, line: str
) -> None:
    """Before anything runs, with the line of the file; exit code 2."""
    done = ci_run(pipeline)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ci-run: {line} (")
    assert done.stderr.count("\n") == 1


def test_trust_has_to_be_given(ci_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """With --trusted a folder of the host can be mounted."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/file").write_text("from the host\n")
    pipeline = (
        f"image: busybox\nsteps:\n  - name: a\n    volumes: ['{tmp_path}/host:/x']\n    commands: [cat /x/file]\n"
    )
    done = ci_run(pipeline, "--trusted")
    assert done.returncode == 0, done.stderr
    assert "a | from the host\n" in done.stdout


def test_bad_input_is_one_line(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path, tmp_path: Path
) -> None:
    """No file, a folder, no YAML mapping, no secret file, no number: what, and exit code 2; never a traceback."""
    for arguments, words in (
        ((), "there is no file '.ci.yml'"),
        (("missing.yml",), "there is no file 'missing.yml'"),
        ((str(tmp_path),), "is a directory"),
        (("--jobs", "0"), "--jobs: 0 is not a number from 1 on"),
        (("--secret-file", "none"), "none: no such file or directory"),
        (("--env", "A"), "--env: 'A' is not NAME=VALUE"),
    ):
        done = ci_run("", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
    (project / ".ci.yml").write_text("just text")
    done = ci_run()
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_it_finds_the_file_from_below(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """In a git work tree, from any folder; the project is the folder of the file."""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / "deep/er").mkdir(parents=True)
    (project / "deep/er/x").write_text("x")
    done = ci_run(steps("ls deep/er"), cwd=project / "deep/er")
    assert done.returncode == 0, done.stderr
    assert "one | x\n" in done.stdout


def test_the_repository_is_there(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """A repository of its own, whose objects are the original's and cannot be changed."""
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=project, check=True)
    (project / "a").write_text("a")
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, "commit", "-q", "-m", "first"], cwd=project, check=True)
    objects = sorted(path.name for path in (project / ".git/objects").iterdir())
    done = ci_run(
        steps(
            "cat .git/HEAD",
            'place=$(cat .git/objects/info/alternates); ls "$place"; ! touch "$place/x"',
            "echo changed > .git/HEAD",
            "echo $CI_COMMIT_BRANCH $CI_COMMIT_MESSAGE",
        )
    )
    assert done.returncode == 0, done.stdout
    assert "one | ref: refs/heads/main\n" in done.stdout
    assert "".join(f"one | {name}\n" for name in objects) in done.stdout
    assert "one | main first\n" in done.stdout
    assert (project / ".git/HEAD").read_text() == "ref: refs/heads/main\n"


def test_a_kept_workspace_is_named(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """--keep: what the steps made is there afterwards."""
    done = ci_run(steps("echo made > out"), "--keep")
    kept = Path(done.stderr.strip().removeprefix("ci-run: the workspace is kept in "))
    assert (kept / "out").read_text() == "made\n"


def test_what_happens_can_be_json(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """One event a line on standard output, the summary last, and nothing on standard error."""
    done = ci_run(steps("echo text", "exit 2"), "--json")
    assert (done.returncode, done.stderr) == (1, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] != "output"] == [
        "stage-started",
        "step-started",
        "step-finished",
        "stage-finished",
        "summary",
    ]
    assert [event["line"] for event in events if event["event"] == "output"] == ["+ echo text", "text", "+ exit 2"]
    assert events[-1]["state"] == "failed"
    assert events[-1]["stages"][0]["steps"][0]["exit_code"] == 2


def test_a_junit_report_is_written(ci_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Also of a run that failed, with the end of the output."""
    done = ci_run(steps("echo '<why>'", "exit 2"), "--junit", str(tmp_path / "report.xml"))
    assert done.returncode == 1
    case = ElementTree.parse(tmp_path / "report.xml").getroot().find("testsuite/testcase")  # noqa: S314
    assert case is not None
    assert case.find("failure").attrib["message"] == "exit code 2"  # type: ignore[union-attr]
    assert "<why>" in case.findtext("system-out", "")


def test_results_are_written_back(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """--write: what was changed, made and removed, and nothing else; without it nothing."""
    (project / "same").write_text("same")
    (project / "old").write_text("old")
    (project / "gone").write_text("gone")
    kept = (project / "same").stat().st_ino
    pipeline = steps("echo new > old", "rm gone", "mkdir -p a/b && echo x > a/b/made", "touch .git", "ln -s /etc esc")
    ci_run(pipeline)
    assert (project / "old").read_text() == "old"
    done = ci_run(pipeline, "--write")
    assert done.returncode == 0, done.stdout
    assert (project / "old").read_text() == "new\n"
    assert (project / "a/b/made").read_text() == "x\n"
    assert not (project / "gone").exists()
    assert not (project / ".git").exists()
    assert (project / "same").stat().st_ino == kept
    assert "ci-run: written: a/b/made, esc, old\nci-run: removed: gone\n" in done.stderr


def test_artifacts_go_to_later_stages_and_to_people(
    ci_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Only to those that depend on the Stage; what fits nothing is said."""
    pipeline = """
name: build
image: busybox
steps:
  - {name: make, commands: [mkdir dist, echo app > dist/app, echo x > other], artifacts: [dist, "*.xml"]}
  - {name: none, commands: [echo], artifacts: nothing}
---
name: test
image: busybox
depends_on: build
steps:
  - {name: run, commands: [cat dist/app, "[ ! -e other ]"]}
---
name: lint
image: busybox
steps:
  - {name: look, commands: ["[ ! -e dist ]"]}
"""
    done = ci_run(pipeline, "--artifacts", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout
    assert "build: none has left nothing that is an artifact: nothing\n" in done.stdout
    assert (tmp_path / "out/build/dist/app").read_text() == "app\n"
    assert not (tmp_path / "out/build/other").exists()


def test_services_are_published(background: Callable[..., subprocess.Popen[bytes]]) -> None:
    """--publish: at 127.0.0.1, at the port itself or, where that is taken, another, as long as the run lasts."""
    pipeline = """
image: busybox
services:
  - {name: web, image: busybox, commands: [echo hello > index.html, httpd -f -p %d], ports: [%d]}
steps:
  - {name: wait, commands: [echo up, sleep 60]}
"""
    with socket.create_server(("127.0.0.1", 0), reuse_port=False) as server:
        taken = server.getsockname()[1]
        process = background(pipeline % (taken, taken), "--publish")
        seen = wait_for(process, b"| up")
        match = re.search(rb"web: port %d at 127\.0\.0\.1:(\d+)" % taken, seen)
        assert match, seen
        assert int(match[1]) != taken
        with urllib.request.urlopen(f"http://127.0.0.1:{int(match[1])}/", timeout=5) as answer:
            assert answer.read() == b"hello\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_the_graph_is_shown(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """As text and as a picture; nothing runs, so nothing has to be given."""
    pipeline = """
image: busybox
steps:
  - {name: b, commands: [echo b], depends_on: [a], secrets: [nobody]}
  - {name: a, commands: [echo a], depends_on: []}
"""
    done = ci_run(pipeline, "--graph", "--svg", "graph.svg", "--skip", "b")
    assert (done.returncode, done.stdout) == (0, "default\n        1  a\n        2  b <- a (left out)\n")
    ElementTree.parse(project / "graph.svg")  # noqa: S314


def test_quiet_runs_show_failures_only(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The output of what passed is not shown, that of what failed is."""
    done = ci_run(
        "image: busybox\nsteps:\n  - {name: a, commands: [echo loud]}\n  - {name: b, commands: [echo why; exit 1]}\n",
        "--quiet",
    )
    assert done.returncode == 1
    assert "loud" not in done.stdout
    assert "b | why\nb ! failed with exit code 1" in done.stdout


@pytest.mark.slow
def test_a_terminal_gets_colours(project: Path, engine_home: Path) -> None:
    """And NO_COLOR, --no-color or a dumb terminal do not."""
    (project / ".ci.yml").write_text(steps("echo text"))
    for environment, arguments, coloured in (
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({}, ("--no-color",), False),
        ({"TERM": "dumb"}, (), False),
    ):
        master, slave = pty.openpty()
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=project,
            env=clean | {"HAKO_HOME": str(engine_home)} | environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        text = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            text += data
        os.close(master)
        assert process.wait(60) == 0
        assert b"text" in text
        assert (b"\x1b[" in text) is coloured, text


def test_a_login_at_the_git_server(ci_run: Callable[..., subprocess.CompletedProcess[str]], project: Path) -> None:
    """--netrc: a file for commands, variables for plugins, of the project's server alone, and masked."""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    remote = ["git", "remote", "add", "origin", "https://git.example.org/team/app.git"]
    subprocess.run(remote, cwd=project, check=True)
    file = project.parent / "netrc"
    file.write_text(
        "machine other.example login no password none\nmachine git.example.org login ann password hunter22\n"
    )
    pipeline = """
image: busybox
steps:
  - name: command
    commands: ['cat "$HOME/.netrc"', stat -c %a "$HOME/.netrc", 'env | grep -c NETRC || true']
  - name: plugin
    entrypoint: [/bin/sh, -c, 'echo $DRONE_NETRC_MACHINE $CI_NETRC_USERNAME; test "$CI_NETRC_PASSWORD" = hunter22']
"""
    done = ci_run(pipeline, "--netrc", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    printed = [line.partition(" | ")[2] for line in done.stdout.splitlines() if " | " in line and " | + " not in line]
    assert printed == [
        *("machine git.example.org", "login ann", "password ********", "600", "0"),
        "git.example.org ann",
    ]
    file.write_text("machine other.example login no password none\n")
    assert "has no login for git.example.org" in ci_run(pipeline, "--netrc", str(file)).stderr
    file.write_text("what\n")
    assert ci_run(pipeline, "--netrc", str(file)).returncode == 2


def test_a_million_lines_arrive(ci_run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A million lines arrive whole."""
    done = ci_run(steps("seq 1000000"))
    lines = done.stdout.splitlines()
    assert lines[1:1_000_001:100_000] == [f"one | {number}" for number in range(1, 1_000_001, 100_000)]
    assert lines[1_000_000] == "one | 1000000"


@pytest.mark.slow
def test_a_full_disk_is_one_line(tmp_path: Path, project: Path) -> None:
    """The path and the reason; exit code 2, and the disk is not left full of us."""
    home = tmp_path / "small"
    home.mkdir()
    (project / ".ci.yml").write_text(steps("true"))
    with (project / "large").open("wb") as file:
        file.truncate(200 << 20)
    script = (
        f"mount -t tmpfs -o size=160m none {home} && cd {project} && "
        f'{" ".join(COMMAND)}; code=$?; [ -z "$(ls {home}/tmp)" ] || echo left; exit $code'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=os.environ | {"HAKO_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "no space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
