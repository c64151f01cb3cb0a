"""New volumes are filled with what the image has there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.kernel import paths
from sandbox.runtime.filling import fill

if TYPE_CHECKING:
    from pathlib import Path


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A file of an image may be larger than the disk; its data are where they were."""
    image, volume = tmp_path / "image", tmp_path / "volume"
    (image / "data").mkdir(parents=True)
    volume.mkdir()
    for name, data in (("middle", b"in the middle"), ("hole", b"")):
        with (image / "data" / name).open("wb") as file:
            file.truncate(1 << 40)
            file.seek(1 << 39)
            file.write(data)
    (image / "data" / "whole").write_bytes(b"x" * 100_000)
    with paths.Root(image) as root:
        descriptor = os.open(volume, os.O_PATH | os.O_DIRECTORY)
        try:
            fill(root, "/data", descriptor)
        finally:
            os.close(descriptor)
    for name in ("middle", "hole"):
        status = (volume / name).stat()
        assert (status.st_size, status.st_blocks < 1000) == (1 << 40, True)
    with (volume / "middle").open("rb") as file:
        file.seek((1 << 39) - 1)
        assert file.read(15) == b"\0in the middle\0"
    assert (volume / "whole").read_bytes() == b"x" * 100_000
