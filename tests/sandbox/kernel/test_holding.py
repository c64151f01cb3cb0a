"""The process that holds the namespaces of an ordinary user's containers: who shares them, and when it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ConflictError
from sandbox.kernel import holding, idmap
from sandbox.kernel.namespaces import in_network, owns_network
from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges, as_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.kernel.children import Account


@pytest.fixture(params=[account_with_ranges, account_without_ranges], ids=["range", "single"])
def account(request: pytest.FixtureRequest) -> Account:
    """An ordinary user."""
    return request.param()  # type: ignore[no-any-return]


@pytest.fixture
def home(account: Account) -> Iterator[Path]:
    """A state directory of that user's."""
    folder = Path(tempfile.mkdtemp(prefix="hako-holding-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(folder, account.uid, account.gid)
    yield folder
    shutil.rmtree(folder)


def place() -> tuple[str, str]:
    """Which user namespace and which network namespace this process is in."""
    return os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/net")  # noqa: PTH115


@contextmanager
def another(function: Callable[[], object]) -> Iterator[tuple[int, str]]:
    """A process of this one's that stays after the function; its pid, and what the function gave as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, str(function()).encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    try:
        yield pid, os.read(reading, 1000).decode()
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def wait_for_end(home: Path) -> None:
    """Until no holder lives."""
    limit = time.monotonic() + 30
    while holding._living(home):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_all_share_one(account: Account, home: Path) -> None:
    """Whoever starts containers makes it, all others join its user namespace, as root of it; it ends with the last who
    stays.
    """

    def start() -> object:
        holding.enter(home, hold=True)
        return place()[0]

    def look() -> object:
        holding.enter(home)
        assert os.geteuid() == 0
        return place()[0]

    def body() -> None:
        outside = place()
        with another(start) as (_, first):
            with another(start) as (_, second), another(look) as (_, third):
                assert first == second == third != outside[0]
                pid = holding._living(home)
                assert os.readlink(f"/proc/{pid}/ns/net") != outside[1]  # noqa: PTH115
                assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2", "3", "4"]  # noqa: PTH208
            assert holding._living(home) == pid
            assert holding.holder(home) == 0  # we are outside
        wait_for_end(home)
        with another(look) as (_, alone):
            assert alone not in (first, outside[0])
            assert not holding._living(home)

    as_account(account, body)


def test_many_begin_at_once(account: Account, home: Path) -> None:
    """And have the same."""

    def start() -> object:
        holding.enter(home, hold=True)
        return place()[0]

    def body() -> set[str]:
        pids = []
        for number in range(8):
            pid = os.fork()
            if pid == 0:
                (home / str(number)).write_text(str(start()))
                _wait_for(lambda: len([*home.glob("[0-9]")]) == 8)
                os._exit(0)
            pids.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
        wait_for_end(home)
        return {(home / str(number)).read_text() for number in range(8)}

    assert len(as_account(account, body)) == 1


def _wait_for(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_one_that_is_killed(account: Account, home: Path) -> None:
    """The next command has another; who was in the former's namespace is told that he has no part in it. What hangs on
    the lifeline is told of the end.
    """

    def former() -> object:
        holding.enter(home, hold=True)
        lifeline = holding.lifeline(holding.holder(home))
        os.kill(holding.holder(home), signal.SIGKILL)
        assert os.read(lifeline, 1) == b""
        assert holding.holder(home) == 0
        return place()[0]

    def late() -> object:
        idmap.become_root()
        try:
            holding.hold(home)
        except ConflictError as error:
            return error.reference
        return "not told"

    def next_one() -> object:
        holding.enter(home, hold=True)
        return place()[0]

    def body() -> None:
        with another(former) as (_, first), another(next_one) as (_, second):
            assert first != second
            with another(late) as (_, said):
                assert said == "other-holder"
        wait_for_end(home)

    as_account(account, body)


def test_a_late_one(account: Account, home: Path) -> None:
    """Who became root without it makes it when it is needed, and is in its user namespace."""

    def body() -> None:
        idmap.become_root()
        stay = holding.stay(home)
        pid = holding.hold(home)
        assert pid == holding.hold(home) == holding.holder(home)
        os.close(stay)
        wait_for_end(home)
        os.waitpid(pid, 0x4000_0000)

    as_account(account, body)


def test_a_damaged_record(account: Account, home: Path) -> None:
    """Is none, as is one of another process or another boot."""

    def body() -> None:
        (home / "holder").mkdir()
        for text in ("", "x", "1 2", f"{os.getpid()} 0 {'0' * 36}", "999999999 1 x"):
            (home / "holder/process").write_text(text)
            assert holding._living(home) == 0
        holding.enter(home, hold=True)
        assert holding.holder(home) > 0

    as_account(account, body)


def test_root_needs_none(tmp_path: Path) -> None:
    """Nothing is made."""
    if not idmap.is_root():
        pytest.skip("this user is not root")
    holding.enter(tmp_path, hold=True)
    assert list(tmp_path.iterdir()) == []


def test_work_in_its_network(account: Account, home: Path) -> None:
    """What an ordinary user does there, comes back with results, errors and descriptors, and leaves him where he was, a
    process that may fork.
    """

    def body() -> None:
        holding.enter(home, hold=True)
        before = place()
        network = holding.network(holding.holder(home))
        inside = in_network(network, lambda: os.readlink("/proc/thread-self/ns/net"))  # noqa: PTH115
        assert inside != before[1]
        assert in_network(network, owns_network)
        assert not owns_network()
        descriptor = in_network(network, lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        assert os.path.samestat(os.fstat(descriptor), os.fstat(network))
        assert in_network(network, lambda: Path("/proc/sys/net/ipv4/ip_forward").read_text()) == "1\n"
        with pytest.raises(ZeroDivisionError):
            in_network(network, lambda: 1 // 0)
        fcntl.flock(network, fcntl.LOCK_EX)
        assert place() == before

    as_account(account, body)
