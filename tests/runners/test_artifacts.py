"""Artifacts: which files, and that nothing else and nothing elsewhere is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runners.artifacts import chosen, collect, deliver

if TYPE_CHECKING:
    from pathlib import Path


def test_patterns_choose_files_and_folders() -> None:
    """A pattern fits a file, or a folder with all in it."""
    paths = (b"dist/app", b"dist/sub/lib", b"distant", b"a/report.xml", b"report.txt")
    assert chosen(["dist"], paths) == (b"dist/app", b"dist/sub/lib")
    assert chosen(["**/*.xml", "d*t"], paths) == (b"dist/app", b"dist/sub/lib", b"distant", b"a/report.xml")
    assert chosen(["none"], paths) == ()


def test_they_go_from_workspace_to_workspace(tmp_path: Path) -> None:
    """Under their paths, with their modes, over what is there."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "dist").mkdir(parents=True)
    (first / "dist/app").write_text("new")
    (first / "dist/app").chmod(0o755)
    (first / "other").write_text("x")
    (second / "dist").mkdir(parents=True)
    (second / "dist/app").write_text("old")
    assert collect(["dist"], first, tmp_path / "kept").written == (b"dist/app",)
    assert deliver(tmp_path / "kept", second).written == (b"dist/app",)
    assert (second / "dist/app").read_text() == "new"
    assert (second / "dist/app").stat().st_mode & 0o111
    assert not (second / "other").exists()
    assert deliver(tmp_path / "nobody's", second).written == ()


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A link is kept as a link; a folder that is one is not entered, on either side."""
    workspace, target = tmp_path / "workspace", tmp_path / "target"
    (workspace / "dist").mkdir(parents=True)
    (workspace / "dist/passwd").symlink_to("/etc/passwd")
    (workspace / "out").symlink_to("/etc")
    assert set(collect(["dist", "out/**"], workspace, tmp_path / "kept").written) == {b"dist/passwd", b"out"}
    assert (tmp_path / "kept/dist/passwd").is_symlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target.mkdir()
    (target / "dist").symlink_to(elsewhere)
    assert deliver(tmp_path / "kept", target).left == (b"dist/passwd",)
    assert list(elsewhere.iterdir()) == []
