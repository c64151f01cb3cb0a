"""Views of contexts and layers: nothing outside is ever seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.files import FileView
from sandbox.dockerfile.ignorefile import IgnorePatterns
from sandbox.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def fill(folder: Path, *names: str) -> Path:
    """A folder with files of those names, each with its name as content."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def walk(view: FileView, path: bytes = b"") -> list[str]:
    """The paths of a walk."""
    return [item.path.decode() for item in view.walk(path)]


def test_links_stay_inside(tmp_path: Path) -> None:
    """Absolute ones and those with `..` are followed below the root, wherever they point on the host."""
    fill(tmp_path, "secret", "context/etc/passwd", "context/d/f")
    context = tmp_path / "context"
    (context / "out").symlink_to("../secret")
    (context / "abs").symlink_to("/etc/passwd")
    (context / "d" / "up").symlink_to("../../../../d")
    with FileView((context,), "") as view:
        assert view.resolve(b"abs") == b"etc/passwd"
        assert view.resolve(b"out") == b"secret"
        assert view.status(b"secret") is None
        assert view.resolve(b"d/up/up/f") == b"d/f"
        assert view.resolve(b"../../etc/passwd") == b"etc/passwd"
        assert view.resolve(b"abs", follow=False) == b"abs"
        assert view.status(b"d/up/f") is None  # a clean path has no links in it
        assert view.read(b"abs") == b"context/etc/passwd"


def test_loops_end(tmp_path: Path) -> None:
    """Links that point at each other are an error."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with FileView((tmp_path,), "") as view, pytest.raises(InvalidError, match="too many symbolic links"):
        view.resolve(b"a")


def test_a_walk_has_parents_first_and_names_in_order(tmp_path: Path) -> None:
    """And links as they are."""
    fill(tmp_path, "b/z", "b/a", "a", "c")
    (tmp_path / "b" / "link").symlink_to("/")
    with FileView((tmp_path,), "") as view:
        assert walk(view) == ["", "a", "b", "b/a", "b/link", "b/z", "c"]
        assert walk(view, b"b/a") == [""]
        assert view.names(b"b") == [b"a", b"link", b"z"]
        with pytest.raises(NotFoundError):
            walk(view, b"nothing")


def test_ignored_files_are_not_there(tmp_path: Path) -> None:
    """A folder that is ignored is there for what is taken back in it."""
    fill(tmp_path, "a/keep", "a/drop", "b/drop", "c.md", "d")
    with FileView((tmp_path,), "", IgnorePatterns(["a", "b", "!a/keep", "*.md"])) as view:
        assert walk(view) == ["", "a", "a/keep", "d"]
        assert walk(view, b"a/keep") == [""]
        assert view.status(b"c.md") is None
        assert view.names(b"") == [b"d"]


@pytest.mark.root
def test_layers_are_seen_as_one(tmp_path: Path) -> None:
    """Upper files hide lower ones, whiteouts and opaque folders what is below."""
    lower = fill(tmp_path / "lower", "same", "gone", "d/lower", "opaque/lower", "kind/x")
    upper = fill(tmp_path / "upper", "same", "d/upper", "opaque/upper", "kind")
    (upper / "same").write_text("upper")
    os.mknod(upper / "gone", 0o020000, os.makedev(0, 0))
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    with FileView((upper, lower), "trusted.overlay.opaque") as view:
        assert walk(view) == ["", "d", "d/lower", "d/upper", "kind", "opaque", "opaque/upper", "same"]
        assert view.read(b"same") == b"upper"
        assert view.status(b"gone") is None
        assert view.status(b"kind/x") is None
        assert view.status(b"opaque/lower") is None


@pytest.mark.root
def test_what_lies_in_one_layer_alone(tmp_path: Path) -> None:
    """It can be shown as it lies; not a folder in which several have a part, nor what may be ignored."""
    lower = fill(tmp_path / "lower", "same", "shared/lower", "low/file", "opaque/lower")
    upper = fill(tmp_path / "upper", "same", "shared/upper", "opaque/upper")
    os.mknod(upper / "gone", 0o020000, os.makedev(0, 0))
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    with FileView((upper, lower), "trusted.overlay.opaque") as view:
        expected = {b"low": lower / "low", b"low/file": lower / "low/file", b"same": upper / "same"}
        expected |= {b"opaque": upper / "opaque", b"shared/lower": lower / "shared/lower"}
        assert {path: view.alone(path) for path in expected} == expected
        assert [view.alone(path) for path in (b"", b"shared", b"gone", b"opaque/lower", b"nothing")] == [None] * 5
    with FileView((lower,), "", IgnorePatterns([])) as view:
        assert view.alone(b"low") is None


def test_an_image_without_layers_is_empty() -> None:
    """`scratch` has nothing, not even a root."""
    with FileView((), "") as view:
        assert view.status(b"a") is None
        assert view.names(b"") == []
        assert view.read(b"etc/passwd") == b""
        assert view.resolve(b"/a/../b") == b"b"
