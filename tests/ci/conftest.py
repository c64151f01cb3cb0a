"""What several of the domain's tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ci.origin import Origin

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """An empty git repository with a work tree."""
    return Origin(tmp_path / "origin")
