"""Pipeline files on the disk: which one a project has, and the bytes of one or of a folder of them.

Called by `ci-run lint` and `ci-run local`. A file is looked for under the names of all dialects, ours first; a folder
`.woodpecker` is one pipeline of several files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline.filenames import DEFAULT_FILE, ENDINGS, FOLDER, NAMES
from ci.pipeline.folder import load_folder
from ci.pipeline.loading import load
from ci.pipeline.source import SIZE_LIMIT
from ci.templates import ProjectLibrary

if TYPE_CHECKING:
    from ci.pipeline.loading import Loaded


def present(folder: Path) -> str:
    """The name of the pipeline that a folder has, or empty."""
    return next((name for name in NAMES if (folder / name).exists()), "")


def project(filename: str) -> Path:
    """The directory that a pipeline file is about."""
    folder = Path(filename).resolve().parent
    return folder.parent if folder.name == FOLDER else folder


def load_file(name: str) -> Loaded:
    """Read and check a pipeline, a file or a folder of files. Raises CiError with one clear line."""
    if not os.path.isdir(name):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
        return load(read_file(name), name, ProjectLibrary(project(name)))
    return load_folder([(member, read_file(member)) for member in members(name)], name)


def members(name: str) -> list[str]:
    """The files of a pipeline: itself, or those of a folder. Raises CiError."""
    if not os.path.isdir(name):  # noqa: PTH112
        return [name]
    if Path(name).name != FOLDER:
        inside = present(Path(name))
        hint = f"did you mean {str(Path(name) / inside)!r}?" if inside else "name a file"
        raise CiError(f"{name!r} is a directory", hint=hint, reference="is-a-directory")
    return sorted(str(path) for path in Path(name).iterdir() if path.name.endswith(ENDINGS) and path.is_file())


def read_file(name: str) -> bytes:
    """The bytes of a pipeline file, of which one too many are read where it is too large.

    Raises CiError with one clear line.
    """
    try:
        with Path(name).open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        hint = "name a pipeline file, or go to the directory that has one" if name == DEFAULT_FILE else ""
        raise CiError(f"there is no file {name!r}", hint=hint, reference="no-such-file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CiError(f"cannot read {name!r}: {reason.lower()}", reference="cannot-read") from None


def find_file(given: str | None, folder: Path) -> str:
    """The given pipeline, or the nearest in `folder` or above, within the git work tree."""
    if given is not None:
        return given
    from runners.gitrepo import enclosing  # noqa: PLC0415  (a given name needs no git)

    top = enclosing(folder) or folder
    for candidate in (folder, *folder.parents):
        if name := present(candidate):
            return os.path.relpath(candidate / name, folder)
        if candidate == top:
            break
    return DEFAULT_FILE
