"""What a local run keeps of a failed step, so that somebody can look at it: the container's files and the workspace.

The files become an image (what the step changed is one layer, which is moved and not copied), the workspace stays
where `--keep` puts it, and a record in `$HAKO_HOME/kept` says what belongs together. Secrets are not in it. Read by
`ci-run shell`; `Keeper.remove` takes all of it away.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ci.errors import CiError
from runners import workspace
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runners.backend import HostMount
    from runners.stage import FailedStep
    from sandbox.image.store import ImageStore

FOLDER = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One failed step: `image` has its files, `workspace` is the folder that it saw at `target`."""

    step: str
    stage: str
    image: str
    workspace: str
    target: str
    working_dir: str
    user: str
    shell: str
    environment: Mapping[str, str]
    secrets: tuple[str, ...]  # names of variables that are not in `environment`
    mounts: tuple[str, ...]  # what `sandbox run --volume` takes


def describe(failed: FailedStep, workspace: Path, mounts: tuple[HostMount, ...]) -> Kept:
    """The record of a step; its secrets are left out of the environment."""
    step = failed.container.step
    return Kept(
        step=step.name,
        stage=failed.stage.name,
        image=failed.kept.image,
        workspace=str(workspace),
        target=failed.stage.workspace,
        working_dir=step.working_dir or failed.stage.workspace,
        user=step.user,
        shell=step.shell if step.commands else "/bin/sh",
        environment={
            name: value for name, value in failed.container.environment.items() if name not in step.secret_variables
        },
        secrets=step.secret_variables,
        mounts=tuple(f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}" for mount in mounts),
    )


class Keeper:
    """The records below a state directory."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def add(self, kept: Kept) -> None:
        """Write a record. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = kept.image.rpartition("/")[2].replace(":", "-")
        (self._folder / f"{name}.json").write_text(json.dumps(asdict(kept)), "utf-8")

    def all(self) -> tuple[Kept, ...]:
        """The newest first."""
        try:
            files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        except FileNotFoundError:
            return ()
        found = (json.loads(path.read_text("utf-8")) for path in files)
        return tuple(Kept(**{**one, "secrets": tuple(one["secrets"]), "mounts": tuple(one["mounts"])}) for one in found)

    def find(self, step: str) -> Kept:
        """The newest of this name, or of any where it is empty. Raises CiError."""
        known = self.all()
        found = next((one for one in known if step in ("", one.step, f"{one.stage}/{one.step}")), None)
        if found is None:
            names = ", ".join(dict.fromkeys(one.step for one in known))
            raise CiError(
                f"no step {step!r} is kept" if step else "no step is kept",
                hint=f"there are: {names}" if names else "`ci-run local --keep` keeps those that fail",
                reference="no-such-step",
            )
        return found

    def remove(self, images: ImageStore) -> int:
        """Everything that was kept: images, workspaces, records; how many steps that were."""
        known = self.all()
        for one in known:
            try:
                images.remove(one.image)
            except SandboxError:  # somebody has removed it by its name
                continue
        if self._folder.is_dir():
            workspace.remove(self._folder)
        return len(known)
