"""Hosts files: what they say, what is kept, and that a running reader never sees half of it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sandbox.network import names

if TYPE_CHECKING:
    from pathlib import Path

LINES = names.block([("10.88.0.2", ("web", "www")), ("10.88.0.3", ("db",)), ("10.88.0.4", ())])


def test_the_base_has_localhost_and_extra_hosts() -> None:
    """localhost for both families, the container's own names where it has no network, and --add-host."""
    text = names.base(("box",), [("db", "10.0.0.7"), ("v6", "fd00::7")])
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost ")
    assert text.endswith("127.0.0.1\tbox\n10.0.0.7\tdb\nfd00::7\tv6\n")


def test_a_name_cannot_break_out_of_its_line() -> None:
    """Blanks, line ends and comment signs inside names make no entries."""
    assert names.line("10.0.0.1", ("a\n6.6.6.6 evil", "b # c")) == "10.0.0.1\ta6.6.6.6evil bc\n"


def test_merge_replaces_only_its_own_block() -> None:
    """What stands before and behind the block stays, other networks' blocks too; no entries take the block out."""
    first = names.merge("127.0.0.1\tlocalhost\n", "one", LINES)
    both = names.merge(first, "two", "10.90.0.2\tother\n") + "1.2.3.4\tedited-by-hand\n"
    changed = names.merge(both, "one", "10.88.0.3\tdb\n")
    assert "web" not in changed
    assert "10.88.0.3\tdb\n" in changed
    assert "10.90.0.2\tother\n" in changed
    assert changed.endswith("1.2.3.4\tedited-by-hand\n")
    gone = names.merge(names.merge(changed, "one", ""), "two", "")
    assert gone == "127.0.0.1\tlocalhost\n1.2.3.4\tedited-by-hand\n"


@given(st.text(alphabet=st.sampled_from("abc# \n\t1.:"), max_size=80))
def test_merge_is_idempotent_whatever_the_file_holds(text: str) -> None:
    """Merging the same entries again changes nothing, and they are in the file."""
    once = names.merge(text, "net", LINES)
    assert names.merge(once, "net", LINES) == once
    assert "10.88.0.2\tweb www\n10.88.0.3\tdb\n" in once


def test_a_block_without_its_end_is_closed_again() -> None:
    """A container that cut the file inside our block gets a whole one back."""
    whole = names.merge("x\n", "net", LINES)
    assert names.merge(whole[: whole.index("web")], "net", LINES) == whole


def test_rewriting_keeps_the_inode_and_foreign_bytes(tmp_path: Path) -> None:
    """The file is bind-mounted: it must stay the same file; what is not UTF-8 in it stays as it is."""
    path = tmp_path / "hosts"
    path.write_bytes(b"127.0.0.1\tlocalhost\n# \xff\xfe\n")
    before = path.stat().st_ino
    names.rewrite(str(path), "net", LINES)
    assert path.stat().st_ino == before
    assert path.read_bytes().startswith(b"127.0.0.1\tlocalhost\n# \xff\xfe\n# network net")
    names.rewrite(str(path), "net", "")
    assert path.read_bytes() == b"127.0.0.1\tlocalhost\n# \xff\xfe\n"


def test_a_missing_file_is_made_only_with_initial_contents(tmp_path: Path) -> None:
    """The file of a container that is gone does not come back; a newcomer's is made, readable for all."""
    path = tmp_path / "hosts"
    names.rewrite(str(path), "net", LINES)
    assert not path.exists()
    names.rewrite(str(path), "net", LINES, initial=names.base())
    assert path.read_text() == names.merge(names.base(), "net", LINES)
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """Nobody can have the engine write another file."""
    canary = tmp_path / "canary"
    canary.write_text("alive")
    (tmp_path / "hosts").symlink_to(canary)
    for initial in (None, names.base()):
        try:
            names.rewrite(str(tmp_path / "hosts"), "net", LINES, initial=initial)
        except OSError:
            continue
    assert canary.read_text() == "alive"


def test_readers_see_whole_lines(tmp_path: Path) -> None:
    """While the file grows and shrinks without end, not one reader in a hundred meets a line that is cut (the kernel's
    copying is not atomic), and localhost is always there.
    """
    path = tmp_path / "hosts"
    names.write(str(path), names.base())
    many = [f"10.88.0.{number}\tname-{number}-long\n" for number in range(2, 40)]
    allowed = {"", *names.merge(names.base(), "net", "".join(many)).split("\n")}
    reads: list[bool] = []
    done = threading.Event()

    def watch() -> None:
        descriptor = os.open(path, os.O_RDONLY)
        while not done.is_set():
            lines = os.pread(descriptor, 1 << 16, 0).decode().split("\n")
            reads.append(lines[0] == "127.0.0.1\tlocalhost" and all(line in allowed for line in lines))
        os.close(descriptor)

    thread = threading.Thread(target=watch)
    thread.start()
    for count in [*range(38, 0, -1), *range(38), *range(38, 0, -5)] * 3:
        names.rewrite(str(path), "net", "".join(many[:count]))
    done.set()
    thread.join()
    assert reads.count(False) <= len(reads) // 100
