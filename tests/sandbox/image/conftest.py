"""A store in an empty directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.image.store import ImageStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An image store of this test alone."""
    return ImageStore(tmp_path / "home")
