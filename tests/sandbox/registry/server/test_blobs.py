"""Blobs of a registry, as files."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sandbox.image.digest import of
from sandbox.registry.server.blobs import Blobs
from sandbox.registry.server.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_new_blob_at_once(root: Path, tmp_path: Path) -> None:
    """Of several who push it one makes it, and all repositories have that one file."""
    layout = Layout(root)
    blobs = Blobs(layout)
    with ThreadPoolExecutor(4) as pool:
        for turn in range(100):
            content = b"%d" % turn
            digest = of(content)
            together = threading.Barrier(4)

            def push(number: int, content: bytes = content, together: threading.Barrier = together) -> None:
                data = tmp_path / f"data-{number}"
                data.write_bytes(content)
                together.wait()
                blobs.keep(f"team/{number}", of(content), data)

            list(pool.map(push, range(4)))
            inodes = {(layout.blobs(f"team/{number}") / digest.hex).stat().st_ino for number in range(4)}
            assert inodes == {layout.blob(digest).stat().st_ino}
