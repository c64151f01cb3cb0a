"""Which devices a container's control group allows, where the container could come across others than its own.

Called by `facts`. In a user namespace nobody makes device nodes, and on a root of ours none opens anything. What is
left are nodes of the host that a caller mounts with a whole directory, a device that may only be read, and containers
that have the host's user namespace. Those get docker's list: what every container has, the `--device` ones, and what
`--device-cgroup-rule` says.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sandbox.runtime.spec import MountKind

if TYPE_CHECKING:
    from sandbox.runtime.spec import ContainerSpec, Device

_ALWAYS = (
    *("c *:* m", "b *:* m"),  # a node may be made; it is of no use
    *("c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm"),  # null, zero, full, random, urandom
    *("c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"),  # tty, ptmx, terminals
)


def rules(spec: ContainerSpec) -> tuple[str, ...] | None:
    """As `kernel.cgroups.Limits` has them; None where nothing needs to be limited."""
    if spec.security.privileged or not (spec.shared.user or asked(spec) or _meets_devices(spec)):
        return None
    return (*_ALWAYS, *(rule for device in spec.devices if (rule := _rule(device))), *spec.device_rules)


def asked(spec: ContainerSpec) -> bool:
    """Whether its caller wants devices to be limited."""
    return bool(spec.device_rules) or any(device.restricted for device in spec.devices)


def _meets_devices(spec: ContainerSpec) -> bool:
    """Whether it is given /dev of the host, something in it, or a directory above."""
    sources = (os.path.realpath(mount.source) for mount in spec.mounts if mount.kind is MountKind.BIND)
    return any(source in ("/", "/dev") or source.startswith("/dev/") for source in sources)


def _rule(device: Device) -> str:
    try:
        found = os.stat(device.source)
    except OSError:
        return ""  # which is told when it is to be prepared
    kind = "b" if stat.S_ISBLK(found.st_mode) else "c"
    return f"{kind} {os.major(found.st_rdev)}:{os.minor(found.st_rdev)} {device.permissions}"
