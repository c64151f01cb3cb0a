"""Where a build's files come from: a folder, an archive, or nowhere with a Dockerfile alone; and its Dockerfile.

`docker build - < Dockerfile` has no context, `docker build - < context.tar.gz` has the archive's files, which are
unpacked as a layer is: nothing in it can lead out. What comes from elsewhere is fetched by `remote`.
Source: docker's manual of `docker build`, "Build context".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.files import FileView
from sandbox.builder.options import Context
from sandbox.dockerfile.ignorefile import IgnorePatterns, read_ignore_file
from sandbox.dockerfile.parsing import SIZE_LIMIT
from sandbox.errors import InvalidError, LimitError, NotFoundError
from sandbox.image.decompress import is_compressed, open_stream
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.image.locking import Lease
    from sandbox.image.store import ImageStore
    from sandbox.image.tarsource import Readable

DOCKERFILE = "Dockerfile"
_IGNORE_LIMIT = 1 << 20  # bytes
_HEAD = 512  # bytes that tell an archive
_USTAR = slice(257, 262)


class Input:
    """A stream that was looked at: `is_archive` by its first bytes; `read` gives all of it."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._head = b""
        while len(self._head) < _HEAD and (more := read(_HEAD - len(self._head))):
            self._head += more
        self.is_archive = is_compressed(self._head) or self._head[_USTAR] == b"ustar"

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._read(size)

    def whole(self, name: str) -> bytes:
        """All of it, as a Dockerfile. LimitError for more than one has."""
        data = b""
        while len(data) <= SIZE_LIMIT and (more := self.read(1 << 16)):
            data += more
        if len(data) > SIZE_LIMIT:
            raise LimitError(f"{name} has more than {SIZE_LIMIT >> 20} MB", hint="is it a Dockerfile or an archive?")
        return data


class Given(NamedTuple):
    """A build's files, its Dockerfile's text and what that is called."""

    context: Context
    text: bytes
    name: str


def of_folder(folder: Path, file: Path, text: bytes | None = None) -> Given:
    """A folder; `text` is the Dockerfile's where that came from elsewhere. NotFoundError where there is none."""
    _check_folder(folder)
    if text is None:
        text = _read(file)
    beside = file.with_name(f"{file.name}.dockerignore")
    ignore = _ignore(beside) or _ignore(folder / ".dockerignore")
    return Given(Context(paths=(folder,), ignore=ignore or IgnorePatterns(())), text, str(file))


def of_paths(paths: tuple[Path, ...], file: str = DOCKERFILE, text: bytes | None = None) -> Given:
    """Unpacked files that are the store's own, with the Dockerfile in them or, as `text`, from elsewhere."""
    with FileView(paths, "") as view:
        if text is None:
            text = view.read(file.encode())
            if not text:
                raise NotFoundError(f"there is no {file} in the context", hint="name it with -f")
        patterns = view.read(f"{file}.dockerignore".encode()) or view.read(b".dockerignore")
    ignore = read_ignore_file(patterns.decode("utf-8", "surrogateescape"))
    return Given(Context(paths=paths, ignore=ignore), text, file)


def unpacked(store: ImageStore, stream: Readable, lease: Lease) -> tuple[Path, ...]:
    """Where the files of an archive are, as long as the lease."""
    record = store.snapshots.unpack(open_stream(stream), lease=lease)
    return (store.snapshots.path(record.layer.chain_id),)


def of_name(folder: Path) -> Context:
    """A folder as a named context; its own `.dockerignore` counts."""
    _check_folder(folder)
    return Context(paths=(folder,), ignore=_ignore(folder / ".dockerignore") or IgnorePatterns(()))


def without_files(text: bytes, name: str = "-") -> Given:
    """A Dockerfile alone."""
    return Given(Context(paths=(), ignore=IgnorePatterns(())), text, name)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise NotFoundError(
            f"there is no folder {str(folder)!r} to build from", hint="name a folder, or - for standard input"
        )


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return Input(stream.read).whole(str(file))
    except FileNotFoundError:
        raise NotFoundError(f"there is no Dockerfile {str(file)!r}", hint="name it with -f") from None
    except OSError as error:
        raise InvalidError(f"cannot read {str(file)!r}: {(error.strerror or '').lower()}") from None


def _ignore(file: Path) -> IgnorePatterns | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    if len(data) > _IGNORE_LIMIT:
        raise LimitError(f"{str(file)!r} has more than {_IGNORE_LIMIT >> 20} MB")
    return read_ignore_file(data.decode("utf-8", "surrogateescape"), file.name)
