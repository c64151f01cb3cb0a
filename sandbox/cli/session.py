"""What every verb that touches the engine begins with: the right to be root in a namespace of one's own, and the state
directory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli.output import say, tell
from sandbox.errors import InvalidError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.image.store import ImageStore
    from sandbox.runtime.engine import Engine


def open_engine(home: str, *, starts: bool = False) -> Engine:
    """The engine on `home`, or on the default one where that is empty; for a verb that `starts` containers, or not.

    An ordinary user becomes root of a user namespace of his own here, so no thread may exist yet.
    """
    from sandbox.kernel import holding  # noqa: PLC0415  (`--help` and the like need no engine)
    from sandbox.runtime.engine import Engine  # noqa: PLC0415

    path = state_directory(home)
    holding.enter(path, hold=starts)
    return Engine(path)


def state_directory(home: str) -> Path:
    """The state directory, made where missing; raises InvalidError where it cannot be one. Before `holding.enter`."""
    from sandbox.runtime.engine import default_home  # noqa: PLC0415

    path = Path(home).absolute() if home else default_home()
    choose = "choose another with --home or $HAKO_HOME"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidError(f"the state directory {str(path)!r} is not a directory", hint=choose) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise InvalidError(f"cannot make the state directory {str(path)!r}: {reason}", hint=choose) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise InvalidError(f"the state directory {str(path)!r} is not writable", hint=choose)
    return path


def reclaim(engine: Engine) -> None:
    """Give back what killed commands and supervisors have left; what cannot be given back now, is another time."""
    with suppress(SandboxError, OSError):
        engine.reclaim()


def open_images(home: str) -> ImageStore:
    """The images of the engine on `home`, for a verb that makes some: what killed ones have left goes first."""
    images = open_engine(home).images
    with suppress(SandboxError, OSError):
        images.reclaim_if_any()
    return images


def reclaim_others(engine: Engine, identifier: str) -> None:
    """`reclaim`, unless the container `identifier` is the only one: 4 ms, a twentieth of a short run.

    Whatever a dead supervisor has left, its container's folder is there until the last of it has been given back.
    """
    with suppress(OSError):
        if not {"names", identifier}.issuperset(path.name for path in (engine.home / "containers").iterdir()):
            reclaim(engine)


def warn(warnings: Iterable[str]) -> None:
    """One line each on standard error."""
    for warning in warnings:
        tell(f"sandbox: warning: {warning}")


def for_each(names: Iterable[str], action: Callable[[str], str | None]) -> int:
    """Do it for every name, whatever becomes of the others; the exit code of the first error.

    What `action` returns is printed, for `None` the name. Errors are told as they come.
    """
    code = 0
    for name in names:
        try:
            said = action(name)
        except SandboxError as error:
            tell(f"sandbox: {error}")
            code = code or error.exit_code
            continue
        if said != "":
            say(f"{name if said is None else said}\n")
    return code
