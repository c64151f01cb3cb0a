"""What tests of the command line share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.command import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def empty(hako_home: Path, repository: Path) -> Sandbox:
    """The command on a state directory of this test alone, without images."""
    return Sandbox(hako_home, repository)


@pytest.fixture
def name(sandbox: Sandbox) -> Iterator[str]:
    """A container's name that nobody else uses; whatever has it at the end is removed."""
    chosen = f"cli-{uuid.uuid4().hex[:12]}"
    yield chosen
    sandbox("rm", "-f", chosen)
