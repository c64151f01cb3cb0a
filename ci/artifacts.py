"""The bytes of artifacts: files below one folder, named by digests of what they are called by.

A path in an artifact's name was chosen by a step, so it is never a path here. A file appears whole.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ci.errors import CiError
from ci.store.artifacts import Artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20  # bytes
_LONGEST_PATH = 1024  # characters


class TooLargeError(CiError):
    """More bytes than are kept of one artifact."""

    reference = "too-large"


class Artifacts:
    """Those of one server. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, stage_id: int, attempt: int, path: str, stream: IO[bytes], *, limit: int, now: float) -> Artifact:
        """Keep what the stream holds; what is to be noted of it in the tables. Raises CiError, TooLargeError."""
        check(path)
        place = self._place(stage_id, attempt, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        descriptor, draft = tempfile.mkstemp(prefix=".part-", dir=place.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                while chunk := stream.read(_CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise TooLargeError(f"the artifact {path} has more than {limit} bytes")
                    digest.update(chunk)
                    file.write(chunk)
            Path(draft).replace(place)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return Artifact(
            stage_id=stage_id, attempt=attempt, path=path, size=size, digest=digest.hexdigest(), created=now
        )

    def open(self, artifact: Artifact) -> IO[bytes]:
        """Its bytes. Raises CiError where they are gone."""
        try:
            return self._place(artifact.stage_id, artifact.attempt, artifact.path).open("rb")
        except FileNotFoundError:
            raise CiError(f"the artifact {artifact.path} was removed", reference="no-such-artifact") from None

    def chunks(self, artifact: Artifact) -> Iterator[bytes]:
        """The same, piece by piece."""
        with self.open(artifact) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def _place(self, stage_id: int, attempt: int, path: str) -> Path:
        return self._folder / str(stage_id) / str(attempt) / hashlib.sha256(path.encode()).hexdigest()


def check(path: str) -> None:
    """Raise CiError for what is no relative path of a file: it becomes one again in somebody's download."""
    parts = path.split("/")
    if not path or len(path) > _LONGEST_PATH or not path.isprintable() or any(one in ("", ".", "..") for one in parts):
        raise CiError(f"{path[:100]!r} is no path of an artifact", reference="bad-path")
