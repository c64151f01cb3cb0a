"""Cache keys: what a step's result depends on, as one digest. Pure.

A key is made of the key of the step before and of what the instruction is with its variables replaced: never of a host,
a path of the context, a time, or of what a RUN has written. So the same sources give the same keys wherever they are
checked out. Every field counts (CVE-2024-24557 was a field that did not).
"""

from __future__ import annotations

import hashlib
import json
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sandbox.image.tarformat import TarEntry

    Data = Callable[[], Iterator[bytes | memoryview]]
    Entries = Iterable[tuple[TarEntry, Data]]

_VERSION = 1  # of what is put into keys; another one makes every cache start anew


def base_key(diff_ids: Sequence[str]) -> str:
    """The key of an image's files; none of `scratch`."""
    return _key("base", list(diff_ids))


def run_key(
    parent: str,
    *,
    argv: Sequence[str],
    environment: Mapping[str, str],
    user: str,
    working_dir: str,
    network: str,
    security: str = "sandbox",
    mounts: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The key of a RUN. `environment` is the image's with the arguments declared; `mounts` say what is seen at each
    target:

    a digest of a bind's content, the name of a cache or secret.
    """
    fields = [list(argv), sorted(environment.items()), user, working_dir, network, list(mounts)]
    return _key("run", parent, *fields, *((security,) if security != "sandbox" else ()))


def files_key(parent: str, digest: str) -> str:
    """The key of a step that puts files of a known digest (`files_digest`) into the image."""
    return _key("files", parent, digest)


def content_digest(data: Data) -> str:
    """The digest of a file's contents, in hexadecimal figures."""
    content = hashlib.sha256()
    for piece in data():
        content.update(piece)
    return content.hexdigest()


def files_digest(entries: Entries, content: Callable[[Data], str] = content_digest) -> str:
    """The digest of files: names, kinds, modes, owners, attributes, contents; not of times.

    `content` tells the digest of a file's contents, by `content_digest` or in a quicker way.
    """
    total = hashlib.sha256()
    for entry, data in entries:
        attributes = sorted((name.hex(), value.hex()) for name, value in entry.xattrs.items())
        fields = (
            entry.name.hex(),
            entry.kind.value.decode(),
            stat.S_IMODE(entry.mode),
            entry.uid,
            entry.gid,
            entry.size,
        )
        line = [*fields, entry.target.hex(), entry.major, entry.minor, attributes, content(data)]
        total.update(json.dumps(line).encode() + b"\n")
    return total.hexdigest()


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([_VERSION, *parts], separators=(",", ":")).encode("ascii")).hexdigest()
