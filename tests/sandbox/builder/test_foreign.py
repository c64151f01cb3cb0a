"""Which architectures run here: this machine's, and those with an emulator that needs nothing of the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.builder.foreign import is_runnable
from sandbox.image.platform import host

if TYPE_CHECKING:
    from pathlib import Path

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
