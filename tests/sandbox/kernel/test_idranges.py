"""The ranges of ids that containers get."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel import namespaces
from sandbox.kernel.idranges import FIRST_HOST_ID, RANGE_SIZE, RANGES, IdRanges
from tests.sandbox.kernel.children import in_child

if TYPE_CHECKING:
    from pathlib import Path


def test_ranges_are_what_the_numbers_say(tmp_path: Path) -> None:
    """A range starts at FIRST_HOST_ID + n * 65536, the same for users and groups, below 2**31."""
    ids = IdRanges(tmp_path / "ids").allocate("f00d")
    (extent,) = ids.uids
    assert ids.gids == ids.uids
    assert (extent.container, extent.size) == (0, 65_536)
    assert (extent.host - FIRST_HOST_ID) % 65_536 == 0
    assert FIRST_HOST_ID + RANGES * RANGE_SIZE <= 2**31
    (link,) = (tmp_path / "ids").iterdir()
    assert str(link.readlink()) == "f00d"
    assert int(link.name) == (extent.host - FIRST_HOST_ID) // 65_536
    assert stat.S_IMODE((tmp_path / "ids").stat().st_mode) == 0o700


def test_one_owner_has_one_range(tmp_path: Path) -> None:
    """Asking again gives the same; releasing twice is no error; released, it can be had by others."""
    ranges = IdRanges(tmp_path / "ids")
    first = ranges.allocate("a")
    assert ranges.allocate("a") == first
    assert ranges.allocate("b") != first
    ranges.release("a")
    ranges.release("a")
    ranges.release("never had one")
    assert [str(path.readlink()) for path in (tmp_path / "ids").iterdir()] == ["b"]


def test_several_have_one_range(tmp_path: Path) -> None:
    """It is free when the last has given it back or is dead; who was first may get another meanwhile."""
    ranges = IdRanges(tmp_path / "ids")
    first = ranges.allocate("a")
    ranges.share(first, "b")
    ranges.share(first, "b")
    ranges.share(first, "c")
    assert ranges.owners() == {"a", "b", "c"}
    assert ranges.allocate("a") == first
    ranges.release("a")
    assert ranges.allocate("a") != first
    assert ranges.reclaim(lambda owner: owner != "c") == ("c",)
    assert ranges.owners() == {"a", "b"}
    ranges.release("b")
    with pytest.raises(SandboxError, match="given back"):
        ranges.share(first, "d")


def test_a_range_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    """Where the number that an owner's name falls on belongs to somebody else, it gets the next, and gives that
    back.
    """
    folder = tmp_path / "ids"
    ranges = IdRanges(folder)
    first = ranges.allocate("a")
    (link,) = folder.iterdir()
    link.unlink()
    link.symlink_to("somebody else")
    second = ranges.allocate("a")
    assert second != first
    ranges.release("a")
    assert [str(path.readlink()) for path in folder.iterdir()] == ["somebody else"]


@pytest.mark.slow
def test_two_hundred_processes_get_two_hundred_ranges(tmp_path: Path) -> None:
    """All allocate, release and allocate again at once; nobody ever shares a range, and nothing is left over."""
    ranges = IdRanges(tmp_path / "ids")
    results = tmp_path / "results"
    results.mkdir()

    def child() -> list[int]:
        wait, go = os.pipe()
        running = []
        for number in range(200):
            pid, pidfd = namespaces.clone()
            if pid == 0:
                try:
                    os.close(go)
                    os.read(wait, 1)
                    owner = f"container{number % 50:03}-{number:03}"
                    ranges.allocate(owner)
                    ranges.release(owner)
                    (results / owner).write_text(repr(ranges.allocate(owner)))
                    os._exit(0)
                finally:
                    os._exit(1)
            os.close(pidfd)
            running.append(pid)
        os.close(go)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running]

    assert set(in_child(child)) == {0}
    answers = [path.read_text() for path in results.iterdir()]
    assert len(answers) == len(set(answers)) == 200
    assert len(list((tmp_path / "ids").iterdir())) == 200


def test_reclaim_gives_back_the_ranges_of_the_dead(tmp_path: Path) -> None:
    """Only owners that are not alive lose theirs; strange files in the folder are left alone."""
    ranges = IdRanges(tmp_path / "ids")
    assert ranges.owners() == frozenset()
    assert ranges.reclaim(lambda _: False) == ()
    for name in ("alive", "dead1", "dead2"):
        ranges.allocate(name)
    (tmp_path / "ids" / "README").write_text("x")
    (tmp_path / "ids" / "99999").write_text("x")
    assert ranges.owners() == {"alive", "dead1", "dead2"}
    assert ranges.reclaim(lambda owner: owner == "alive") == ("dead1", "dead2")
    kept = {str(path.readlink()) for path in (tmp_path / "ids").iterdir() if path.is_symlink()}
    assert kept == {"alive"}
    assert (tmp_path / "ids" / "README").exists()


def test_all_ranges_taken_is_an_error_that_says_so(tmp_path: Path) -> None:
    """With 4096 owners the next one is told to remove containers."""
    folder = tmp_path / "ids"
    folder.mkdir()
    for number in range(RANGES):
        (folder / str(number)).symlink_to("somebody")
    with pytest.raises(SandboxError, match="4096 id ranges") as caught:
        IdRanges(folder).allocate("one too many")
    assert caught.value.reference == "no-free-ids"
