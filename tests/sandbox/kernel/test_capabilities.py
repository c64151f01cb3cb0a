"""Capabilities: names, Docker's rules for adding and dropping, and what a process is left with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox.errors import InvalidError
from sandbox.kernel import capabilities, idmap, process
from sandbox.kernel.capabilities import ALL, DEFAULT, Capability
from tests.sandbox.kernel.children import in_child

DOCKER = 0xA80425FB  # CapEff of a container that dockerd starts
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def _sets(text: str) -> dict[str, int]:
    lines = (line.split(":") for line in text.splitlines())
    return {key: int(value, 16) for key, value in lines if key in SETS}


def _own() -> dict[str, int]:
    return _sets(Path("/proc/self/status").read_text())


def _of_a_program() -> dict[str, int]:
    """The sets that a program has which this process executes."""
    text = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    return _sets(text)


def _mask(names: frozenset[Capability]) -> int:
    return sum(1 << capability for capability in names)


@pytest.mark.parametrize("name", ["NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin", " net_admin "])
def test_a_name_is_read_in_any_spelling(name: str) -> None:
    """With or without CAP_, in either case."""
    assert capabilities.parse(name) is Capability.NET_ADMIN


@pytest.mark.parametrize("name", ["", "CAP_", "NET", "CAP_CAP_CHOWN", "12", "ALL"])
def test_what_is_no_capability_is_named(name: str) -> None:
    """The error holds the name as it was given."""
    with pytest.raises(InvalidError) as caught:
        capabilities.parse(name)
    assert repr(name) in str(caught.value)


def test_the_default_is_dockers() -> None:
    """The fourteen that Docker's documentation lists."""
    assert _mask(DEFAULT) == DOCKER


def test_the_names_are_the_kernels() -> None:
    """Every number up to the kernel's last has a name here, as long as it is no newer kernel."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert set(range(min(last, 40) + 1)) <= {int(capability) for capability in Capability}


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ([], [], DEFAULT),
        (["SYS_PTRACE"], ["CHOWN"], (DEFAULT | {Capability.SYS_PTRACE}) - {Capability.CHOWN}),
        (["ALL"], [], ALL),
        (["all"], ["NET_RAW", "MKNOD"], ALL - {Capability.NET_RAW, Capability.MKNOD}),
        ([], ["ALL"], frozenset()),
        (["CAP_CHOWN"], ["CAP_ALL"], frozenset({Capability.CHOWN})),
        (["CHOWN"], ["CHOWN"], DEFAULT),
    ],
)
def test_adding_and_dropping_is_dockers(add: list[str], drop: list[str], expected: frozenset[Capability]) -> None:
    """ALL added means all but the dropped, ALL dropped means only the added; otherwise the default is changed."""
    assert capabilities.select(add, drop) == expected


@pytest.mark.root
def test_apply_leaves_root_with_the_set_and_nothing_else() -> None:
    """Bounding, permitted and effective are the set, inheritable and ambient empty (CVE-2022-24769)."""

    def child() -> dict[str, int]:
        capabilities.apply(DEFAULT)
        return _own()

    assert in_child(child) == {"CapInh": 0, "CapPrm": DOCKER, "CapEff": DOCKER, "CapBnd": DOCKER, "CapAmb": 0}


@pytest.mark.root
@pytest.mark.parametrize("keep", [DEFAULT, frozenset[Capability](), frozenset({Capability.CHOWN})])
def test_a_program_of_root_regains_no_more(keep: frozenset[Capability]) -> None:
    """After exec the sets are the same: the bounding set was cut as well."""

    def child() -> dict[str, int]:
        capabilities.apply(keep)
        return _of_a_program()

    mask = _mask(keep)
    assert in_child(child) == {"CapInh": 0, "CapPrm": mask, "CapEff": mask, "CapBnd": mask, "CapAmb": 0}


@pytest.mark.root
def test_what_is_not_there_is_not_asked_for() -> None:
    """ALL in a process that has less is no error; it keeps what it has."""

    def child() -> tuple[dict[str, int], dict[str, int]]:
        capabilities.apply(DEFAULT)
        before = _own()
        capabilities.apply(ALL)
        return before, _own()

    before, after = in_child(child)
    assert before == after


@pytest.mark.root
def test_a_user_is_left_with_the_bounding_set_only() -> None:
    """Another user than root has nothing permitted, also after exec; all three ids are the user's."""

    def child() -> tuple[dict[str, int], dict[str, int], tuple[int, int, int]]:
        os.setgroups([])
        capabilities.apply_for_user(DEFAULT, 54_321, gid=54_322)
        return _own(), _of_a_program(), os.getresuid()

    own, program, uids = in_child(child)
    assert own == program == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": DOCKER, "CapAmb": 0}
    assert uids == (54_321, 54_321, 54_321)


@pytest.mark.root
def test_apply_for_user_0_is_apply() -> None:
    """Root stays root, with the set."""

    def child() -> dict[str, int]:
        capabilities.apply_for_user(DEFAULT, 0)
        return _own()

    assert in_child(child)["CapEff"] == DOCKER


@pytest.mark.root
def test_inheritable_and_ambient_are_emptied() -> None:
    """What a caller left in them does not reach the container, neither as root nor as a user."""

    def child(uid: int) -> dict[str, int]:
        import ctypes  # noqa: PLC0415

        from sandbox.kernel.syscalls import syscall  # noqa: PLC0415

        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        syscall("capget", header, data)
        data[2] = 1 << Capability.CHOWN  # inheritable
        syscall("capset", header, data)
        syscall("prctl", 47, 2, Capability.CHOWN, 0, 0)  # PR_CAP_AMBIENT_RAISE
        raised = _own()
        assert raised["CapInh"] == raised["CapAmb"] == 1
        capabilities.apply_for_user(DEFAULT, uid)
        return _own()

    for uid in (0, 54_321):
        found = in_child(lambda uid=uid: child(uid))  # type: ignore[misc]
        assert found["CapInh"] == found["CapAmb"] == 0


@pytest.mark.root
def test_capabilities_that_would_survive_are_an_error() -> None:
    """With keep-capabilities on, the change of user would keep them: it is refused instead."""

    def child() -> None:
        process.set_keep_capabilities(True)
        with pytest.raises(PermissionError, match="54321"):
            capabilities.apply_for_user(DEFAULT, 54_321)

    in_child(child)


def test_an_ordinary_users_root_is_limited_the_same_way() -> None:
    """Root of a user namespace ends with Docker's set."""

    def child() -> dict[str, int]:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(54_321, 54_321, 54_321)
            os.setresuid(54_321, 54_321, 54_321)
            process.set_dumpable(True)
        idmap.become_root()
        capabilities.apply(DEFAULT)
        return _of_a_program()

    assert in_child(child) == {"CapInh": 0, "CapPrm": DOCKER, "CapEff": DOCKER, "CapBnd": DOCKER, "CapAmb": 0}


def test_bounding_reads_the_kernels_set() -> None:
    """The mask is the one of /proc/self/status."""
    assert capabilities.bounding() == _own()["CapBnd"]
