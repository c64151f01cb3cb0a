"""Hosts, and roots, that have less than everything: what is lacking is said in one line, and the container runs."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

pytestmark = [pytest.mark.root, pytest.mark.slow]

_LIMITS = ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "50")
_RUN = ("run", "--rm", "--network", "none")


def _within(sandbox: Sandbox, before: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`sandbox WORDS…` behind the shell command `before`, in a mount namespace where that can do no harm."""
    script = f'{before} && exec "$@"'
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    return subprocess.run(
        [*unshare, *COMMAND, *words], env=sandbox.environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("umount --recursive --lazy /sys/fs/cgroup", "no cgroups mounted"),
        (
            "for one in $(findmnt --list --noheadings --output TARGET --types cgroup,cgroup2); do"
            " mount -o remount,bind,ro $one || exit; done",
            "Read-only file system",
        ),
    ],
)
def test_control_groups_that_cannot_be_had(sandbox: Sandbox, before: str, reason: str) -> None:
    """Not mounted, or not to be written: one warning when limits are asked for, none when not."""
    limited = _within(sandbox, before, *_RUN, *_LIMITS, "busybox", "echo", "here")
    assert (limited.returncode, limited.stdout) == (0, "here\n")
    assert limited.stderr.startswith("sandbox: warning: limits are not enforced: ")
    assert reason in limited.stderr
    assert limited.stderr.count("\n") == 1
    plain = _within(sandbox, before, *_RUN, "busybox", "echo", "here")
    assert (plain.returncode, plain.stdout, plain.stderr) == (0, "here\n", "")


def test_few_descriptors(sandbox: Sandbox) -> None:
    """64 are enough; a `--ulimit` above what may be given is one warning."""
    prlimit = "ulimit -n 64"
    run = _within(sandbox, prlimit, *_RUN, "busybox", "sh", "-c", "ulimit -n")
    assert (run.returncode, run.stdout, run.stderr) == (0, "64\n", "")


def test_root_who_may_not_raise_limits(sandbox: Sandbox) -> None:
    """Without CAP_SYS_RESOURCE a container gets the most there is, with a warning."""
    drop = 'ulimit -n 100 && set -- setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource -- "$@"'
    run = _within(sandbox, drop, *_RUN, "--ulimit", "nofile=200:300", "busybox", "sh", "-c", "ulimit -n")
    assert (run.returncode, run.stdout) == (0, "100\n")
    assert run.stderr == (
        "sandbox: warning: ulimit nofile is 100:100 and not 200:300: the hard limit cannot be raised here\n"
    )


@pytest.mark.parametrize("capability", ["sys_admin", "setuid", "dac_override"])
def test_root_without_a_capability_is_an_ordinary_user(empty: Sandbox, capability: str) -> None:
    """A root as other engines' containers have it gets containers with the one id."""
    drop = f'set -- setpriv --bounding-set=-{capability} --inh-caps=-{capability} -- "$@"'
    assert _within(empty, drop, "bootstrap", "busybox").returncode == 0
    run = _within(empty, drop, *_RUN, "busybox", "cat", "/proc/self/uid_map")
    assert (run.returncode, run.stdout.split(), run.stderr) == (0, ["0", "0", "1"], "")


def test_an_engine_in_a_container_of_ours(sandbox: Sandbox, tmp_path: Path, repository: Path) -> None:
    """A privileged container is host enough for containers; in a plain one the line says what it takes."""
    script = 'cd /repo && exec /usr/bin/python3 -m sandbox.cli.main run --rm --network none busybox echo "inner one"'
    packages = Path(sysconfig.get_path("purelib"))
    if not Path("/usr/bin/python3").exists() or not packages.is_relative_to(repository):
        pytest.skip("needs Debian's Python, and its packages in the checkout")
    mounts = [
        *(f"{source}:{target}:ro" for source, target in (("/usr", "/usr"), ("/usr/lib", "/lib"), ("/usr/bin", "/bin"))),
        *(f"{source}:{target}:ro" for source, target in (("/usr/lib64", "/lib64"), (str(repository), "/repo"))),
        f"{tmp_path}:/inner",
    ]
    options = [word for mount in mounts for word in ("-v", mount)]
    variables = ("-e", f"PYTHONPATH=/repo/{packages.relative_to(repository)}", "-e", "PYTHONDONTWRITEBYTECODE=1")
    options += [*variables, "-e", "HAKO_HOME=/inner/home", "-e", "PATH=/usr/bin:/bin"]
    nested = sandbox(*_RUN, "--privileged", *options, "busybox", "sh", "-c", script)
    assert (nested.returncode, nested.stdout) == (0, "inner one\n"), nested.stderr
    plain = sandbox(*_RUN, *options, "busybox", "sh", "-c", script)
    assert plain.returncode == 125
    assert "it takes --privileged" in plain.stderr
    assert "Traceback" not in plain.stderr
