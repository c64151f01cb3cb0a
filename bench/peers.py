"""The other engines, as contenders: podman (with runc), bare runc, bubblewrap; each where it is installed.

Everything of theirs lies in the benchmark's own folder, and what they leave on the host (podman's bridge, packet filter
tables, mounts, control groups) is taken away again. The root file system is the host's static busybox, the same file
that our image is made of.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import BenchmarkError, Contender, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.harness import Setup


# podman asks for more files and processes than a host may allow at all, and fails; these are modest everywhere.
PODMAN_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def archive(directory: Path) -> Path:
    """`root_file_system` as a tar."""
    tar = directory / "busybox.tar"
    subprocess.run(["tar", "-C", root_file_system(directory), "-cf", tar, "."], check=True)
    return tar


def root_file_system(directory: Path) -> Path:
    """A folder with busybox and its applets' links, as an unpacked image has it."""
    root = directory / "root"
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BenchmarkError("busybox is not installed: apt-get install busybox-static")
    for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, root / "bin/busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    return root


def runtime() -> tuple[str, ...]:
    """The option for what runs their containers: crun refuses a hybrid cgroup hierarchy."""
    return ("--runtime", "runc") if shutil.which("runc") else ()


@contextmanager
def podman(setup: Setup) -> Iterator[tuple[str, ...]]:
    """`podman` and the options for storage of its own with the image `busybox`; nothing where it is not installed."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        yield ()
        return
    home = setup.directory / "podman"
    home.mkdir()
    base = ("podman", "--root", str(home / "storage"), "--runroot", str(home / "run"), *runtime())
    before = _leavings()
    try:
        quietly([*base, "import", str(archive(home)), "busybox"])
        yield base
    finally:
        quietly([*base, "rm", "--all", "--force", "--time", "0"], check=False)
        quietly([*base, "system", "reset", "--force"], check=False)
        for line in Path("/proc/self/mountinfo").read_text().splitlines()[::-1]:
            point = line.split(" ")[4]
            if point.startswith(f"{home}/"):
                quietly(["umount", "--lazy", point], check=False)
        for leaving in sorted(_leavings() - before):
            quietly(list(leaving), check=False)


@contextmanager
def buildah(setup: Setup) -> Iterator[tuple[str, ...]]:
    """`buildah` in the same way."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        yield ()
        return
    home = setup.directory / "buildah"
    home.mkdir()
    base = ("buildah", "--root", str(home / "storage"), "--runroot", str(home / "run"))
    before = _leavings()
    try:
        made = quietly([*base, "from", "scratch"]).strip()
        quietly([*base, "add", made, str(archive(home)), "/"])
        quietly([*base, "commit", "--rm", made, "busybox"])
        yield base
    finally:
        quietly([*base, "rm", "--all"], check=False)
        quietly([*base, "rmi", "--all", "--force"], check=False)
        for leaving in sorted(_leavings() - before):
            quietly(list(leaving), check=False)


@contextmanager
def podman_run(setup: Setup, network: str) -> Iterator[tuple[Contender, ...]]:
    """`podman run --rm`, whole process. `network` is none, host or bridge."""
    with podman(setup) as base:
        command = [*base, "run", "--rm", *PODMAN_LIMITS, "--network", network, "busybox", "true"]
        yield (Contender(name="podman", measure=process(command)),) if base else ()


def _leavings() -> frozenset[tuple[str, ...]]:
    """What podman leaves on a host, each as the command that removes it; what was there before a benchmark is kept."""
    found: set[tuple[str, ...]] = set()
    for path in Path("/sys/class/net").iterdir():
        if path.name.startswith(("podman", "cni-podman")):
            found.add(("ip", "link", "delete", path.name))
    if shutil.which("nft"):
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
        for line in tables.splitlines():
            if line in {"table ip nat", "table ip filter", "table inet netavark"}:
                found.add(("nft", "delete", *line.split()))
    if " /run/netns " in Path("/proc/self/mountinfo").read_text():
        found.add(("umount", "/run/netns"))
    for path in Path("/sys/fs/cgroup").glob("**/libpod_parent"):
        found.add(("find", str(path), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"))
    for name in ("/var/lib/cni", "/var/lib/containers", "/run/containers", "/run/libpod"):
        if Path(name).is_dir():
            found.add(("rm", "-rf", "--one-file-system", name))
    return frozenset(found)


@contextmanager
def runc(setup: Setup) -> Iterator[tuple[Contender, ...]]:
    """Bare `runc run`: a container from a ready folder, without image, snapshot or address."""
    if shutil.which("runc") is None or os.geteuid() != 0:
        yield ()
        return
    bundle = setup.directory / "runc"
    bundle.mkdir()
    root_file_system(bundle)
    quietly(["runc", "spec", "--bundle", str(bundle)])
    config = bundle / "config.json"
    spec = json.loads(config.read_text())
    spec["root"]["path"] = "root"
    spec["process"].update(terminal=False, args=["/bin/true"])
    config.write_text(json.dumps(spec))
    command: list[str | Path] = ["runc", "--root", bundle / "state", "run", "--bundle", bundle, "hako-bench"]
    yield (Contender(name="runc, bare", measure=process(command)),)


@contextmanager
def bubblewrap(setup: Setup) -> Iterator[tuple[Contender, ...]]:
    """`bwrap` with all namespaces: no image, no snapshot, no limits; a floor for a program that makes a sandbox."""
    if shutil.which("bwrap") is None:
        yield ()
        return
    home = setup.directory / "bwrap"
    home.mkdir()
    root = root_file_system(home)
    command: list[str | Path] = [
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        root,
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "/bin/true",
    ]
    yield (Contender(name="bwrap", measure=process(command)),)


def remove(directory: Path) -> None:
    """Remove a benchmark's folder, also where an engine left folders that cannot be entered."""
    for path, folders, _ in os.walk(directory):
        for name in folders:
            child = Path(path) / name
            if not child.is_symlink():
                child.chmod(stat.S_IRWXU)
    shutil.rmtree(directory, ignore_errors=True)


def quietly(command: list[str], *, check: bool = True) -> str:
    """Run a preparation; its output. With `check` a code other than 0 is an error."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise BenchmarkError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
