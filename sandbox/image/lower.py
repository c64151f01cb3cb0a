"""The layers below the one being unpacked, read as overlay will show them.

A layer's archive may lean on them: a hard link to a file that only a lower layer has, and directories it puts files
into without listing them, which must keep their owner and mode.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sandbox.image import whiteout
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self


class LowerLayers:
    """`with LowerLayers(paths, opaque) as lower:`, topmost first; `opaque` is overlay's attribute for directories."""

    def __init__(self, paths: Iterable[Path], opaque: str) -> None:
        self._paths = tuple(paths)
        self._opaque = opaque
        self._roots: list[Root] = []

    def __enter__(self) -> Self:
        try:
            for path in self._paths:
                self._roots.append(Root(path))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __bool__(self) -> bool:
        return bool(self._paths)

    def find(self, path: bytes) -> int | None:
        """An O_PATH descriptor of what is at `path` (clean, relative), itself if it is a link; `None` if there is
        nothing.
        """
        parts = path.split(b"/") if path else []
        for root in self._roots:
            found, final = self._find_in(root, parts)
            if found is not None or final:
                return found
        return None

    def _find_in(self, root: Root, parts: list[bytes]) -> tuple[int | None, bool]:
        """What one layer says of a path, and whether that is the last word on it."""
        current = root.open(b".", os.O_PATH | os.O_DIRECTORY)
        final = False
        try:
            for index, part in enumerate(parts):
                # One name in a directory that is itself no link: this cannot lead out of the layer.
                try:
                    following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
                except FileNotFoundError:
                    return None, final
                os.close(current)
                current = following
                status = os.fstat(current)
                if whiteout.is_whiteout(status):
                    return None, True
                if index + 1 == len(parts):
                    break
                if not stat.S_ISDIR(status.st_mode):
                    return None, True
                final = final or self._is_opaque(current)
            found, current = current, -1
            return found, True
        finally:
            if current >= 0:
                os.close(current)

    def _is_opaque(self, directory: int) -> bool:
        try:
            return os.getxattr(f"/proc/self/fd/{directory}", self._opaque) == whiteout.OPAQUE_VALUE
        except OSError:
            return False

    def _close(self) -> None:
        for root in self._roots:
            root.close()
