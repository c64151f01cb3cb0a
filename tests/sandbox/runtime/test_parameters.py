"""Kernel parameters that a container may be given values for."""

from __future__ import annotations

import pytest

from sandbox.errors import InvalidError
from sandbox.runtime import parameters
from sandbox.runtime.spec import ContainerSpec, Shared

PLAIN = ContainerSpec(image="x")


@pytest.mark.parametrize("name", ["net.ipv4.ip_forward", "net.core.somaxconn", "kernel.shmmax", "fs.mqueue.msg_max"])
def test_its_own(name: str) -> None:
    """Those of its network and of its memory."""
    parameters.check(PLAIN._replace(sysctls={name: "1"}))


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("kernel.hostname", PLAIN, "whole host"),
        ("vm.overcommit_memory", PLAIN, "whole host"),
        ("kernel.core_pattern", PLAIN._replace(shared=Shared(user=True)), "whole host"),
        ("fs.mqueue/../../kernel/core_pattern", PLAIN, "not the name"),
        ("net..kernel.core_pattern", PLAIN, "not the name"),
        ("kernel.shm_rmid_forced=1+kernel.core_pattern", PLAIN, "not the name"),
        ("net.ipv4.ip_forward\n", PLAIN, "not the name"),
        ("net.ipv4.ip_forward", PLAIN._replace(network="host"), "the host's"),
        ("net.ipv4.ip_forward", PLAIN._replace(network="container:x"), "the other container's"),
        ("kernel.shmmax", PLAIN._replace(shared=Shared(ipc=True)), "the host's"),
        ("kernel.shmmax", PLAIN._replace(shared=Shared(ipc_container="x")), "the other container's"),
    ],
)
def test_those_of_others(name: str, spec: ContainerSpec, message: str) -> None:
    """Of the host, of another container, or no names at all."""
    with pytest.raises(InvalidError, match=message):
        parameters.check(spec._replace(sysctls={name: "1"}))
