"""Which architectures run here: this machine's, and those with an emulator that needs nothing of the container."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from sandbox.builder.foreign import is_runnable
from sandbox.image.platform import host
from tests.sandbox.command import COMMAND

ARM64 = """{state}
interpreter /usr/bin/qemu-aarch64-static
flags: {flags}
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.mark.skipif(host().architecture == "arm64", reason="that runs without an emulator here")
@pytest.mark.parametrize(
    ("state", "flags", "expected"),
    [("enabled", "OCF", True), ("enabled", "OC", False), ("disabled", "F", False)],
)
def test_emulators(tmp_path: Path, state: str, flags: str, expected: bool) -> None:
    """One that is on, for that architecture, and opened beforehand (F)."""
    (tmp_path / "qemu-aarch64").write_text(ARM64.format(state=state, flags=flags))
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "broken").write_text("enabled\nflags: F\noffset x\nmagic zz\n")
    assert is_runnable("arm64", tmp_path) is expected
    assert not is_runnable("s390x", tmp_path)


def test_this_machine_s(tmp_path: Path) -> None:
    """Needs nothing; an unknown one never runs."""
    assert is_runnable(host().architecture, tmp_path)
    assert not is_runnable("z80", tmp_path / "nothing")


# In a user namespace of its own there is a binfmt_misc of its own, from Linux 6.7 on: the host's is left alone.
OWN_HANDLERS = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
MOUNT = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"


def has_own_handlers() -> bool:
    """Whether a user namespace can have emulators of its own here."""
    tried = subprocess.run([*OWN_HANDLERS, MOUNT], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(host().architecture == "s390x", reason="that runs without an emulator here")
def test_a_run_under_an_emulator(repository: Path) -> None:
    """A program of another architecture is given to the emulator that the kernel knows, which is not in the image."""
    shell = shutil.which("busybox")
    if shell is None or not has_own_handlers():
        pytest.skip("needs busybox, and a kernel that gives each user namespace its own binfmt_misc")
    header = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\0\x02\0\x16\0\0\0\x01"  # s390x, in the beginning of elf(5)
    with tempfile.TemporaryDirectory(prefix="hako-foreign-", dir="/tmp") as name:  # the kernel takes short lines
        folder = Path(name)
        shutil.copy(shell, folder / "sh")  # the emulator: what is behind the header it takes for a script
        (folder / "context").mkdir()
        program = folder / "context" / "program"
        program.write_bytes(header + b"\necho emulated $(id -u) > /out\n")
        program.chmod(0o755)
        (folder / "context" / "Dockerfile").write_text('FROM scratch\nCOPY program /\nRUN ["/program"]\n')
        magic = "".join(f"\\x{byte:02x}" for byte in header)
        (folder / "handler").write_text(f":hako-test:M::{magic}::{folder}/sh:F")
        build = [*COMMAND, "build", "--platform", "linux/s390x", "--network", "none", "-o", f"{folder}/out"]
        done = subprocess.run(
            [
                *OWN_HANDLERS,
                f'{MOUNT}; cat {folder}/handler > /proc/sys/fs/binfmt_misc/register; exec "$@"',
                *("sh", *build, str(folder / "context")),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HAKO_HOME": f"{folder}/home", "PYTHONPATH": str(repository)},
        )
        assert done.returncode == 0, done.stderr
        assert (folder / "out" / "out").read_text() == "emulated 0\n"
