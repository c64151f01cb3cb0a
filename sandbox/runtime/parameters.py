"""Which kernel parameters (sysctls) are a container's own, so that it may be given values for them.

Called when a container is made, whoever asks for it. Those of the whole host are out of reach in a user namespace, but
not for root of one that has the host's. Source: Documentation/admin-guide/sysctl/ of Linux, ipc_namespaces(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from sandbox.runtime.spec import ContainerSpec

_IPC = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


def check(spec: ContainerSpec) -> None:
    """Raise InvalidError for the name of one that is not the container's own (CVE-2022-0811)."""
    for name in spec.sysctls:
        if not _CHARACTERS.issuperset(name) or "" in name.split("."):
            raise InvalidError(f"{name!r} is not the name of a kernel parameter", hint="such as net.core.somaxconn")
        if name.startswith("net."):
            _refuse(name, "network", spec.network == "host", spec.network.startswith("container:"))
        elif name in _IPC or name.startswith("fs.mqueue."):
            _refuse(name, "ipc", spec.shared.ipc, bool(spec.shared.ipc_container))
        else:
            raise InvalidError(
                f"--sysctl {name} belongs to the whole host",
                hint="a container has its own of net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm*",
            )


def _refuse(name: str, option: str, host: bool, other: bool) -> None:
    if host or other:
        whose = "the host's" if host else "the other container's"
        raise InvalidError(f"--sysctl {name} would be {whose}", hint=f"leave out --{option}")
