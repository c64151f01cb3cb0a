"""A store in an empty directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.image.store import ImageStore
from sandbox.kernel.paths import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    """An image store of this test alone."""
    yield ImageStore(tmp_path / "home")
    # pytest's own removal recurses, and some trees here are deeper than that goes.
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        remove_tree(folder, "home")
    except FileNotFoundError:
        pass
    finally:
        os.close(folder)
