"""Bad input: one clear line that names the thing and says what to do, docker's exit code, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.kernel.mounts import Mount, mount, umount

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
IMAGE_HINT = "without --pull never it is fetched; `sandbox images` lists what there is"
CONTAINER_HINT = "`sandbox ps -a` lists them"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("rnu busybox", 2, "'rnu' is no command; did you mean run?"),
        ("zzzz", 2, "'zzzz' is no command (see `sandbox --help`)"),
        ("--hmoe /x ps", 2, "unknown option --hmoe (see `sandbox --help`)"),
        ("--home", 2, "--home needs a value (see `sandbox --help`)"),
        ("network", 2, "'network' needs a second word: one of create, ls, inspect, connect, disconnect, rm, prune "
         "(see `sandbox --help`)"),
        ("network mk", 2, "'network mk' is no command: one of create, ls, inspect, connect, disconnect, rm, prune "
         "(see `sandbox --help`)"),
        ("run", 125, "IMAGE is missing (see `sandbox run --help`)"),
        ("run --rn busybox", 125, "unknown option --rn (did you mean --rm?)"),
        ("run --memory lots busybox", 125, "--memory 'lots' is not a size "
         "(write bytes, or a number with k, m or g: 64m)"),
        ("create --cpus x busybox", 125, "--cpus 'x' is not a number of processors (such as 0.5 or 2)"),
        ("run nosuch/image true", 125, "no image 'nosuch/image' here, and registry 127.0.0.1:1 refuses connections "
         "(does it run, and at this port?)"),
        ("pull nosuch/image:1", 125, "registry 127.0.0.1:1 refuses connections (does it run, and at this port?)"),
        ("push nosuch:1", 125, "no image 'nosuch:1' (`sandbox images` lists what there is, `sandbox bootstrap` makes "
         "one)"),
        ("login", 2, "standard input is no terminal to ask at (--username NAME --password-stdin)"),
        ("login -u a -p b https://", 125, None),
        ("pull -a a:b", 2, "--all-tags is for a repository, and 'a:b' names one image (leave the tag out)"),
        ("pull --platform x/y/z/w a", 125, "invalid platform 'x/y/z/w' (such as linux/amd64 or linux/arm/v7)"),
        ("run --pull never nosuch", 125, f"no image 'nosuch' ({IMAGE_HINT})"),
        ("run -v /nosuch-path:/x busybox true", 125, "cannot mount '/nosuch-path': no such file or directory "
         "(make it first, or correct the path before the colon)"),
        ("run -w relative busybox true", 125, "working directory 'relative' is not absolute (begin it with /)"),
        ("run --name -bad- busybox true", 125, "container name '-bad-' is not valid (use up to 200 letters, digits, "
         "_ . and -, beginning with a letter or digit)"),
        ("exec nosuch true", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("exec nosuch", 2, "COMMAND is missing (see `sandbox exec --help`)"),
        ("logs nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("logs --tail x nosuch", 2, "--tail 'x' is not a number of lines (a number, or all)"),
        ("logs", 2, "CONTAINER is missing (see `sandbox logs --help`)"),
        ("logs a b", 2, "one word too many: 'b' (see `sandbox logs --help`)"),
        ("start nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("start -a nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("stop nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("stop -t soon x", 2, "--timeout 'soon' is not a whole number from 0 on (see `sandbox stop --help`)"),
        ("kill nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("rm nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("wait nosuch", 125, f"no such container: nosuch ({CONTAINER_HINT})"),
        ("rmi nosuch", 125, "no image 'nosuch' (`sandbox images` lists what there is, `sandbox bootstrap` makes one)"),
        ("tag busybox", 2, "NAME[:TAG] is missing (see `sandbox tag --help`)"),
        ("bootstrap fedora:40", 125, "nothing here makes an image 'fedora:40' (there are busybox, debian:<suite> and "
         "what images.toml names)"),
        ("bootstrap busybox --include vim", 2, "--include: busybox has no packages (it is for debian:<suite>)"),
        ("bootstrap debian:bookworm --include vim", 2, "--include makes another image (name it with --tag)"),
        ("ps --format {{range}}", 2, "--format: {{range}} is not understood (see `sandbox ps --help`)"),
        ("inspect --type magic x", 2, "--type 'magic' is unknown (one of: container, image, network, volume)"),
        ("network rm nosuch-net", 125, None),
        ("network create bridge", 125, "network bridge is predefined (choose another name)"),
        ("run --network nosuch-net busybox true", 125, None),
        ("run UPPER/case true", 125, None),
        ("-v", 2, "unknown option -v (see `sandbox --help`)"),
    ],
)  # fmt: skip
def test_one_clear_line(sandbox: Sandbox, line: str, code: int, message: str | None) -> None:
    """Exactly one line on standard error, nothing on standard output."""
    done = sandbox(*line.split())
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("sandbox: ")
    assert done.stderr.count("\n") == 1
    if message is not None:
        assert done.stderr == f"sandbox: {message}\n"


def test_without_a_verb(sandbox: Sandbox) -> None:
    """The help, on standard error, as a mistake."""
    done = sandbox()
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: sandbox ")
    assert done.stdout == ""


def test_a_state_directory_that_is_none(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file, or a place below one, is named, with what to do."""
    file = tmp_path / "file"
    file.touch()
    for place in (file, file / "below"):
        done = sandbox("--home", str(place), "ps")
        assert done.returncode == 125
        assert done.stderr == (
            f"sandbox: the state directory '{place}' is not a directory (choose another with --home or $HAKO_HOME)\n"
        )


def test_a_directory_in_place_of_a_profile(sandbox: Sandbox, tmp_path: Path) -> None:
    """A directory where a file belongs is named."""
    done = sandbox("run", "--security-opt", f"seccomp={tmp_path}", "busybox", "true")
    assert (done.returncode, done.stderr) == (
        125,
        f"sandbox: --security-opt seccomp {tmp_path}: is a directory (name a file)\n",
    )


def test_a_full_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is named, with what to do; nothing stays behind that counts."""
    mount("tmpfs", tmp_path, "tmpfs", Mount.NOSUID, "size=1m")
    try:
        done = sandbox("--home", str(tmp_path), "bootstrap", "busybox")
        assert done.returncode == 125
        said = done.stderr.splitlines()[-1]
        assert said.startswith(f"sandbox: the disk of {tmp_path}")
        assert said.endswith(" is full (free some space, perhaps with `sandbox rm` and `sandbox rmi`)")
        assert sandbox("--home", str(tmp_path), "images", "-q").stdout == ""
    finally:
        umount(tmp_path)


def test_help_and_version(sandbox: Sandbox) -> None:
    """Every verb is in the help with a line, and has a help of its own."""
    done = sandbox("--help")
    assert done.returncode == 0
    assert sandbox("help").stdout == done.stdout
    for words in (("run", "--help"), ("run", "--rm", "--help"), ("help", "run")):
        assert sandbox(*words).stdout.startswith("Usage: sandbox run [OPTION…] IMAGE [COMMAND] [ARGUMENT...]\n")
    assert sandbox("network", "ls", "--help").stdout.startswith("Usage: sandbox network ls")
    assert sandbox("--version").stdout.startswith("sandbox ")


def test_a_mistake_of_ours_is_a_line_too(sandbox: Sandbox) -> None:
    """With HAKO_DEBUG the place is shown before the line."""
    done = sandbox("logs", "nosuch", HAKO_DEBUG="1")
    assert "Traceback" in done.stderr
    assert done.stderr.endswith(f"sandbox: no such container: nosuch ({CONTAINER_HINT})\n")


@pytest.mark.root
def test_a_file_mounted_on_a_directory(sandbox: Sandbox) -> None:
    """The line says that the container's path is meant, and what to write instead."""
    done = sandbox("run", "--rm", "--network", "none", "-v", "/etc/hostname:/etc", "busybox", "true")
    assert (done.returncode, done.stderr) == (
        125,
        "sandbox: cannot mount a file at '/etc' in the container: a directory or device is there "
        "(name the file, such as /etc/NAME)\n",
    )
