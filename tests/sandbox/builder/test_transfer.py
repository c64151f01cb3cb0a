"""Where COPY puts files, and what becomes of them."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.builder.files import FileView
from sandbox.builder.transfer import InlineFile, Owner, Placing, Transfer, select
from sandbox.dockerfile.ignorefile import IgnorePatterns
from sandbox.errors import NotFoundError, SandboxError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A small context."""
    folder = tmp_path / "context"
    for name in ("a.txt", "b.txt", "src/main.c", "src/lib/x.c", "src/lib/x.h"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o640)
    (folder / "link").symlink_to("src")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image."""
    folder = tmp_path / "image"
    (folder / "usr" / "bin").mkdir(parents=True)
    (folder / "bin").symlink_to("usr/bin")
    return folder


def copy(
    context: Path, image: Path, *patterns: str, documents: tuple[InlineFile, ...] = (), **placing: Any
) -> list[str]:
    """The entries: kind, path, mode."""
    with FileView((context,), "") as source, FileView((image,), "") as target:
        parents = placing.get("parents", False)
        selected = [one for pattern in patterns for one in select(source, pattern, parents=parents)]
        transfer = Transfer(target, selected, documents, Placing(**placing))
        found = []
        for entry, data in transfer:
            assert len(b"".join(data())) == entry.size
            found.append(f"{entry.kind.value.decode()} {entry.name.decode()} {entry.mode:o} {entry.uid}:{entry.gid}")
        return found


@pytest.mark.parametrize(
    ("patterns", "destination", "expected"),
    [
        (("a.txt",), "/x", ["0 x 640 1:2"]),
        (("a.txt",), "/x/", ["5 x 755 1:2", "0 x/a.txt 640 1:2"]),
        (("a.txt",), "/usr", ["0 usr/a.txt 640 1:2"]),
        (("a.txt",), "/bin/", ["0 usr/bin/a.txt 640 1:2"]),
        (("*.txt",), "/usr/", ["0 usr/a.txt 640 1:2", "0 usr/b.txt 640 1:2"]),
        (("src/lib",), "/usr", ["0 usr/x.c 640 1:2", "0 usr/x.h 640 1:2"]),
        (
            ("src",),
            "/usr",
            ["5 usr/lib 755 1:2", "0 usr/lib/x.c 640 1:2", "0 usr/lib/x.h 640 1:2", "0 usr/main.c 640 1:2"],
        ),
        (("link/main.c",), "/n/m", ["5 n 755 1:2", "0 n/m 640 1:2"]),
        (
            ("link",),
            "/n",
            ["5 n 755 1:2", "5 n/lib 755 1:2", "0 n/lib/x.c 640 1:2", "0 n/lib/x.h 640 1:2", "0 n/main.c 640 1:2"],
        ),
        (("../../a.txt",), "/x", ["0 x 640 1:2"]),
        (("none*",), "/x", []),
    ],
)
def test_destinations(
    context: Path, image: Path, patterns: tuple[str, ...], destination: str, expected: list[str]
) -> None:
    """A folder's contents go into the destination; a file becomes it, or goes into it where it is a folder."""
    assert copy(context, image, *patterns, destination=destination, owner=Owner(1, 2)) == expected


def test_modes_and_exclusions(context: Path, image: Path) -> None:
    """`--chmod` is for folders, too; `--exclude` is seen from the source."""
    exclude = IgnorePatterns(["**/*.h"])
    found = copy(context, image, "src", destination="/s/", owner=Owner(), mode="0700", exclude=exclude)
    assert found == ["5 s 755 0:0", "5 s/lib 700 0:0", "0 s/lib/x.c 700 0:0", "0 s/main.c 700 0:0"]


def test_parents(context: Path, image: Path) -> None:
    """`--parents` keeps the folders of a source."""
    found = copy(context, image, "src/lib/*.c", destination="/p/", owner=Owner(), parents=True)
    assert found == ["5 p 755 0:0", "5 p/src 755 0:0", "5 p/src/lib 755 0:0", "0 p/src/lib/x.c 640 0:0"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("./src/./lib/*.c", ["5 lib 700", "0 lib/x.c 640"]),
        ("src/lib/./x.c", ["0 x.c 640"]),
        ("s*/./l*", ["5 lib 700", "0 lib/x.c 640", "0 lib/x.h 640"]),
        ("src/**/*.c", ["5 src 755", "0 src/main.c 640", "5 src/lib 700", "0 src/lib/x.c 640"]),
        ("**/x.?", ["5 src 755", "5 src/lib 700", "0 src/lib/x.c 640", "0 src/lib/x.h 640"]),
        ("src/./**", ["5 lib 700", "0 lib/x.c 640", "0 lib/x.h 640", "0 main.c 640"]),
        ("**/lib", ["5 src 755", "5 src/lib 700", "0 src/lib/x.c 640", "0 src/lib/x.h 640"]),
    ],
)
def test_pivots(context: Path, image: Path, pattern: str, expected: list[str]) -> None:
    """Folders are kept from `/./` on, with their modes; `**` is any number of them, none too."""
    (context / "src" / "lib").chmod(0o700)
    found = copy(context, image, pattern, destination="/", owner=Owner(), parents=True)
    assert [entry.rpartition(" ")[0] for entry in found] == expected


def test_documents(context: Path, image: Path) -> None:
    """Here-documents are files of mode 0644, beside others."""
    document = InlineFile(b"EOF", b"text")
    assert copy(context, image, documents=(document,), destination="/etc/motd") == [
        "5 etc 755 0:0",
        "0 etc/motd 644 0:0",
    ]
    found = copy(context, image, "a.txt", documents=(document,), destination="/usr", owner=Owner())
    assert found == ["0 usr/a.txt 640 0:0", "0 usr/EOF 644 0:0"]


def test_what_is_missing_is_said(context: Path) -> None:
    """A source without wild cards has to be there; one with them may be nothing, but no link to nothing."""
    (context / "src" / "lib" / "dangling").symlink_to("/nowhere")
    with FileView((context,), "") as source:
        with pytest.raises(NotFoundError, match="'nothing' is not in the context"):
            select(source, "nothing")
        assert select(source, "no*") == []
        assert [one.path for one in select(source, "*/main.c")] == [b"src/main.c"] * 2  # one of them through a link
        with pytest.raises(NotFoundError, match="'src/lib/dangling', which 'src/lib/d\\*' means, is a link to nothing"):
            select(source, "src/lib/d*")


def test_what_changes_meanwhile_leads_nowhere(tmp_path: Path, image: Path) -> None:
    """Folders and files that become links to the outside, and back, while they are copied: nothing of it is copied."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder, text in ((outside, "secret"), (inside / "d", "own")):
        folder.mkdir(parents=True)
        (folder / "f").write_text(text)
    (inside / "g").write_text("own")
    (inside / "other").symlink_to(outside)
    (inside / "link").symlink_to(outside / "f")
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            exchange(inside / "d", inside / "other")
            exchange(inside / "g", inside / "link")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        copied = rounds = 0
        while rounds < 300 or not copied:
            rounds += 1
            with FileView((inside,), "") as source, FileView((image,), "") as target, suppress(SandboxError, OSError):
                selected = [*select(source, "d"), *select(source, "g"), *select(source, "/")]
                for _, data in Transfer(target, selected, (), Placing("/to/")):
                    content = b"".join(data())
                    assert b"secret" not in content
                    copied += content == b"own"
    finally:
        stop.set()
        thread.join()


def exchange(one: Path, other: Path) -> None:
    """Give each the name of the other, at once: renameat2(2) with RENAME_EXCHANGE."""
    at, flag = -100, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(at, os.fsencode(one), at, os.fsencode(other), flag):
        raise OSError(ctypes.get_errno(), "renameat2")
