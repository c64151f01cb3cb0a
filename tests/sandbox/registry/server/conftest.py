"""A registry on an empty directory, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.registry.server.application import Registry
from tests.sandbox.registry.server.pushes import Peer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of the registry."""
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path) -> Registry:
    """The application."""
    return Registry(root)


@pytest.fixture
def peer(registry: Registry) -> Peer:
    """A client."""
    return Peer(registry)
