"""Cache keys: the same for the same sources anywhere, another for every field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.builder.keys import base_key, files_digest, files_key, run_key
from sandbox.image.tarformat import Kind, TarEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = base_key(("sha256:" + "1" * 64,))
RUN: dict[str, Any] = {
    "argv": ("sh", "-c", "make"),
    "environment": {"A": "1", "B": "2"},
    "user": "",
    "working_dir": "/src",
    "network": "default",
    "mounts": (),
}
FILE = TarEntry(b"a/b", Kind.FILE, 0o644, 0, 0, 1, 12345)


def digest(*entries: TarEntry, content: bytes = b"x") -> str:
    """The digest of entries that all have the same content."""
    data: Callable[[], Iterator[bytes]] = lambda: iter((content,))  # noqa: E731
    return files_digest((entry, data) for entry in entries)


def test_golden_keys() -> None:
    """Keys do not change by accident: that would make every cache start anew."""
    assert BASE == "23dae0d966775fc8cc5c234e66fa10111d37ada5284dfa0890fe196f146df1c6"
    assert run_key(BASE, **RUN) == "c4450f3d8ee4db1d08cef420fb19ced450868d6afd7666de93eec481e4a4751b"
    assert files_key(BASE, digest(FILE)) == "41a68dd88a8c9237ec697f6a48ff195ad78b2092facb6a8e343b176d0d312360"


@pytest.mark.parametrize(
    "change",
    [
        {"argv": ("sh", "-c", "make all")},
        {"environment": {"A": "1"}},
        {"environment": {"A": "1", "B": "3"}},
        {"user": "1"},
        {"working_dir": "/"},
        {"network": "none"},
        {"mounts": ({"type": "bind", "digest": "0"},)},
    ],
)
def test_every_field_of_a_run_counts(change: dict[str, Any]) -> None:
    """A field that did not would poison the cache."""
    assert run_key(BASE, **RUN | change) != run_key(BASE, **RUN)
    assert run_key("0" * 64, **RUN) != run_key(BASE, **RUN)


def test_the_order_of_the_environment_does_not_count() -> None:
    """ENV A=1 B=2 is ENV B=2 A=1."""
    assert run_key(BASE, **RUN | {"environment": {"B": "2", "A": "1"}}) == run_key(BASE, **RUN)


@pytest.mark.parametrize(
    "change",
    [
        {"name": b"a/c"},
        {"mode": 0o600},
        {"uid": 1},
        {"gid": 1},
        {"kind": Kind.FIFO},
        {"target": b"x"},
        {"xattrs": {b"user.a": b"1"}},
    ],
)
def test_what_a_file_is_counts(change: dict[str, Any]) -> None:
    """Name, kind, mode, owner, link, attributes."""
    assert digest(FILE._replace(**change)) != digest(FILE)


def test_contents_count_and_times_do_not() -> None:
    """A fresh clone has other times and the same keys."""
    assert digest(FILE, content=b"y") != digest(FILE)
    assert digest(FILE._replace(mtime=0)) == digest(FILE)
