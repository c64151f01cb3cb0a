"""Id maps, and an ordinary user's way to root."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.kernel import idmap, namespaces
from sandbox.kernel.idmap import IdMap, IdRange
from sandbox.kernel.idranges import FIRST_HOST_ID, RANGE_SIZE
from sandbox.kernel.namespaces import Flags
from tests.sandbox.kernel.children import (
    Account,
    account_with_ranges,
    account_without_ranges,
    alone,
    as_account,
    in_child,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = (IdRange(0, 0, 4_294_967_295),)
CONTAINER = (IdRange(0, FIRST_HOST_ID, RANGE_SIZE),)

SUBUID = """\
# comment
root:1:2
dev:100000:65536

dev:300000:10
1000:500000:7
other:900000:65536
dev:x:65536
dev:-5:10
dev:700000:0
dev:1:2:3
"""


def test_subordinate_ranges_by_name_and_number() -> None:
    """All ranges of the user in the file's order; comments, other users and malformed lines are passed over."""
    assert idmap.subordinate_ranges("dev", 1000, SUBUID) == ((100_000, 65_536), (300_000, 10), (500_000, 7))
    assert idmap.subordinate_ranges("nobody", 65_534, SUBUID) == ()


@given(st.text())
def test_no_subuid_file_is_too_strange(text: str) -> None:
    """Whatever the file holds, the result is pairs of numbers that the kernel could take."""
    for first, count in idmap.subordinate_ranges("dev", 1000, text):
        assert first >= 0
        assert count > 0


def test_subordinate_ids_follow_root_without_gaps() -> None:
    """Root is the user; from 1 on come the ranges, one after the other."""
    assert idmap.subordinate_map(1000, ((100_000, 65_536), (300_000, 10))) == (
        IdRange(0, 1000, 1),
        IdRange(1, 100_000, 65_536),
        IdRange(65_537, 300_000, 10),
    )


def test_lines_are_what_the_kernel_reads() -> None:
    """Three numbers a line: inside, outside, how many."""
    assert IdMap(CONTAINER, (IdRange(0, 1, 1), IdRange(1, 5, 9))).lines() == ("0 1879048192 65536\n", "0 1 1\n1 5 9\n")


def test_identity_maps_what_exists() -> None:
    """A nested namespace gets each extent that is here onto itself, cut at the size, and not joined."""
    here = IdMap((IdRange(0, 1000, 1), IdRange(1, 100_000, 65_536)), (IdRange(0, 1000, 1),))
    identity = IdMap.identity(65_536, within=here)
    assert identity.uids == (IdRange(0, 0, 1), IdRange(1, 1, 65_535))
    assert identity.gids == (IdRange(0, 0, 1),)
    assert IdMap.identity(65_536, within=IdMap(WHOLE, WHOLE)).uids == (IdRange(0, 0, 65_536),)


def test_single_means_that_files_cannot_be_given_away() -> None:
    """One user or one group is single, more of both is not."""
    assert IdMap((IdRange(0, 5, 1),), CONTAINER).single
    assert IdMap(CONTAINER, (IdRange(0, 5, 1),)).single
    assert not IdMap(CONTAINER, CONTAINER).single


def test_current_reads_our_own_map() -> None:
    """In a fresh namespace nothing is mapped; once root writes the map it is what `current` gives."""
    assert in_child(idmap.current, flags=Flags.NEWUSER) == IdMap((), ())
    assert not in_child(idmap.in_initial_namespace, flags=Flags.NEWUSER)


@pytest.mark.root
@alone
def test_a_written_map_is_in_force() -> None:
    """After `write` root inside is the first id of the range outside."""
    receive, send = os.pipe()
    pid, pidfd = namespaces.clone(Flags.NEWUSER)
    if pid == 0:
        os.close(send)
        os.read(receive, 1)
        os.setresuid(0, 0, 0)
        same = idmap.current() == IdMap(CONTAINER, CONTAINER)
        os._exit(0 if same and os.getuid() == 0 else 1)
    idmap.write(pid, IdMap(CONTAINER, CONTAINER))
    with pytest.raises(PermissionError, match="gid_map"):
        idmap.write(pid, IdMap(CONTAINER, CONTAINER))
    os.close(send)
    os.close(receive)
    os.close(pidfd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_ten_thousand_extents_are_refused_in_one_piece() -> None:
    """A map that the kernel cannot take is an error at its file and not half a map (CVE-2021-43784)."""
    many = tuple(IdRange(2 * number, 2 * number, 1) for number in range(10_000))

    group = os.getegid()

    def child() -> IdMap:
        with pytest.raises(OSError, match="uid_map"):
            idmap.write(os.getpid(), IdMap(many, (IdRange(0, group, 1),)), setgroups=False)
        return idmap.current()

    assert in_child(child, flags=Flags.NEWUSER).uids == ()


# An ordinary user's way to root


def test_root_needs_no_namespace() -> None:
    """For somebody who is root already nothing happens."""

    def child() -> tuple[IdMap | None, bool]:
        idmap.become_root()  # whoever runs the tests
        before = Path("/proc/self/ns/user").readlink()
        return idmap.become_root(), before == Path("/proc/self/ns/user").readlink()

    assert in_child(child) == (None, True)


def _become_root() -> dict[str, object]:
    os.umask(0o022)
    spent = time.perf_counter()
    ids = idmap.become_root()
    spent = time.perf_counter() - spent
    propagation = [line.split(" - ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "ids": ids,
        "users": os.getresuid(),
        "groups": os.getresgid(),
        "initial": idmap.in_initial_namespace(),
        "shared": [line for line in propagation if "shared:" in line or "master:" in line],
        "capabilities": next(
            line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")
        ),
        "setgroups": Path("/proc/self/setgroups").read_text().strip(),
        "children": _has_children(),
        "seconds": spent,
    }


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG | 0x4000_0000)
    except ChildProcessError:
        return False
    return True


def test_without_ranges_a_user_becomes_the_only_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """One id, root inside, with all capabilities there; setgroups is denied; all mounts are private."""
    account = account_without_ranges()
    if os.geteuid() != 0:  # who can be nobody else, and may have ranges
        monkeypatch.setattr(idmap, "_subordinate_extents", lambda *_: None)
    found = as_account(account, _become_root)
    assert found["ids"] == IdMap((IdRange(0, account.uid, 1),), (IdRange(0, account.gid, 1),))
    assert found["users"] == found["groups"] == (0, 0, 0)
    assert found["initial"] is False
    assert found["shared"] == []
    assert int(str(found["capabilities"]), 16) & (1 << 40)
    assert found["setgroups"] == "deny"
    assert found["children"] is False


def test_with_ranges_a_user_gets_them() -> None:
    """Root is the user and 1… are the subordinate ids, by newuidmap and newgidmap; nothing keeps running."""
    account = account_with_ranges()
    found = as_account(account, _become_root)
    ids = found["ids"]
    assert isinstance(ids, IdMap)
    assert not ids.single
    assert ids.uids[0] == IdRange(0, account.uid, 1)
    assert ids.gids[0] == IdRange(0, account.gid, 1)
    assert ids.uids[1].container == ids.gids[1].container == 1
    assert found["users"] == found["groups"] == (0, 0, 0)
    assert found["shared"] == []
    assert found["setgroups"] == "allow"
    assert found["children"] is False


def test_with_ranges_files_can_be_given_to_others() -> None:
    """The new root changes owners within its range, and can become one of them."""

    def child() -> tuple[int, int]:
        idmap.become_root()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            file = Path(folder, "file")
            file.touch()
            os.chown(file, 33, 34)

            def other() -> tuple[int, int]:
                os.setresuid(33, 33, 33)
                file.chmod(0o600)  # only its owner may
                return file.stat().st_uid, file.stat().st_gid

            return in_child(other)

    assert as_account(account_with_ranges(), child) == (33, 34)


@pytest.mark.parametrize("find", [account_with_ranges, account_without_ranges])
def test_an_ordinary_users_root_nests(find: Callable[[], Account]) -> None:
    """Root inside maps a further namespace with the identity, as containers of an ordinary user have it."""
    account = find()

    def child() -> tuple[IdMap, IdMap]:
        idmap.become_root()
        receive, send = os.pipe()
        wait, go = os.pipe()
        pid, _ = namespaces.clone(Flags.NEWUSER | Flags.NEWNS)
        if pid == 0:
            os.close(go)
            os.read(wait, 1)
            os.setresuid(0, 0, 0)
            os.write(send, repr(idmap.current()).encode())
            os._exit(0)
        wanted = IdMap.identity(RANGE_SIZE)
        idmap.write(pid, wanted)
        os.close(go)
        os.waitpid(pid, 0)
        return wanted, eval(os.read(receive, 4096))  # noqa: S307  (our own repr)

    wanted, found = as_account(account, child)
    assert wanted == found
    assert wanted.uids[0] == IdRange(0, 0, 1)


def test_a_helper_that_fails_leaves_the_single_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where newuidmap is missing or refuses, the user still becomes root, of one id."""
    account = account_without_ranges()
    lies = ((IdRange(0, account.uid, 1), IdRange(1, 1, 10)), (IdRange(0, account.gid, 1), IdRange(1, 1, 10)))
    monkeypatch.setattr(idmap, "_subordinate_extents", lambda *_: lies)
    found = as_account(account, _become_root)
    assert isinstance(found["ids"], IdMap)
    assert found["ids"].single
    monkeypatch.setattr(idmap, "_program", lambda name: f"/no/such/{name}")
    found = as_account(account, _become_root)
    assert isinstance(found["ids"], IdMap)
    assert found["ids"].single
    assert found["children"] is False


@pytest.mark.root
def test_forbidden_namespaces_are_said_so() -> None:
    """Where the host allows no user namespace the error names the settings."""
    account = account_without_ranges()

    def inside() -> None:
        # root of a user namespace limits what may be made below it
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        os.setresuid(account.uid, account.uid, account.uid)
        idmap.become_root()

    def child() -> None:
        wait, go = os.pipe()
        pid, _ = namespaces.clone(Flags.NEWUSER)
        if pid == 0:
            try:
                os.close(go)
                os.read(wait, 1)
                os.setresuid(0, 0, 0)
                inside()
            except SandboxError as error:
                os._exit(0 if error.reference == "user-namespace-forbidden" and "sysctls" in str(error) else 2)
            finally:
                os._exit(1)
        idmap.write(pid, IdMap(CONTAINER, CONTAINER))
        os.close(go)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    in_child(child)


# The ranges of containers
