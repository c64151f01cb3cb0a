"""The engine of this host as Stages of a runner have it: a back end for each, and what dead ones have left taken away.

Called by `ci-run runner`'s `Host`.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from runners.engine import EngineBackend
from runners.runfolder import RunFolder
from sandbox.runtime.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from runners.host import Login
    from sandbox.image.sources import Sources

_LOGINS = "REGISTRY_AUTH_FILE"  # where the registries' client looks first


# What a container's start loads otherwise in each Stage's process anew, some 60 ms.
_OF_STARTS = ("facts", "host", "init", "plan", "spares", "supervision", "supervisor")


def load() -> None:
    """Load what Stages' processes need, before they are forked."""
    for name in _OF_STARTS:
        import_module(f"sandbox.runtime.{name}")


@contextmanager
def opened(
    home: Path, sources: Callable[[], Sources], logins: Sequence[Login], progress: Callable[[str], None]
) -> Iterator[tuple[EngineBackend, Path]]:
    """A back end on the engine below `home`, for the process's only Stage, and the folder of its run."""
    engine = Engine(home)
    try:
        with RunFolder(home) as folder:
            if logins:
                _log_in(folder.path / "registries.json", logins)
            yield EngineBackend(engine, folder, sources=sources, progress=progress), folder.path
    finally:
        engine.close()


def reclaim(home: Path, sources: Callable[[], Sources]) -> None:
    """End and remove what processes of Stages that died have left."""
    engine = Engine(home)
    try:
        with RunFolder(home) as folder:
            EngineBackend(engine, folder, sources=sources).reclaim()
    finally:
        engine.close()


def _log_in(path: Path, logins: Sequence[Login]) -> None:
    """Write a configuration like docker's, of this Stage alone; it is removed with the run's folder."""
    known = {login.host: {"username": login.username, "password": login.password} for login in logins}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123  (a descriptor)
        json.dump({"auths": known}, file)
    os.environ[_LOGINS] = str(path)
