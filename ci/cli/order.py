"""What `ci-run local` was asked to do, once everything about it has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci.cli.images import Pull
    from ci.cli.selection import Selection
    from runners.backend import HostMount
    from runners.build import Expand
    from runners.cloning import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to print: `colour` escape codes of ours, `live` unfinished lines (a terminal), `quiet` only failures."""

    colour: bool = False
    live: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One local run. `project` is the folder to build, `jobs` at least 1.

    `mounts` are seen by every container, `network` is the one they share in place of their Stages' own, or empty.
    `clone` is what to build in place of the files of `project`.
    """

    filename: str
    project: Path
    selection: Selection
    expand: Expand
    clone: Project | None
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    mounts: tuple[HostMount, ...]
    pull: Pull
    network: str
    caches: bool
    incremental: bool
    jobs: int
    keep: bool
    shell: bool
    write: bool
    publish: bool
    artifacts: Path | None
    junit: Path | None
    json: bool
    style: Style
