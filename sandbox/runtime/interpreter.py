"""The program that the engine's processes are, as a container can get hold of it.

A container's first process is our interpreter until it executes the container's command, and a command such as a
script beginning with `#!/proc/self/exe` executes that very file again, in the container, with a way to it
(CVE-2019-5736). In a namespace that maps its owner, the ordinary user of an own Python, root in the container may
change its mode, and on some kernels its contents. So it is then started through a read-only mount of it. Used by the
engine, to see whether it may fork, and by the launcher. So it is too where a container has our own user namespace.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.kernel import idmap, mounts
from sandbox.kernel.mounts import Attr

if TYPE_CHECKING:
    from collections.abc import Mapping

_SELF = "/proc/self/exe"
_OVERFLOW_ID = 65534  # how ids appear that a namespace does not map, fs/overflowuid


def is_exposed() -> bool:
    """Whether root in a container of ours could change the file that this process is."""
    if idmap.in_initial_namespace():
        return False  # our containers' ids are nobody's on the host
    status = os.stat(_SELF)
    if status.st_uid == _OVERFLOW_ID and not os.access(_SELF, os.W_OK):
        return False
    return not os.statvfs(_SELF).f_flag & os.ST_RDONLY


def spawn(argv: list[str], environment: Mapping[str, str], *, sealed: bool) -> int:
    """Start `argv[0]`, which is this process's program, as one that no container can change; its pid. `sealed`: nor one
    that has our user namespace.
    """
    if not sealed and not is_exposed():
        return os.posix_spawn(argv[0], argv, environment)
    # By its path: the mount that we were executed from belongs to another namespace.
    program = mounts.open_tree(os.path.realpath(argv[0]))
    try:
        mounts.set_attributes(program, set=Attr.RDONLY)
        return os.posix_spawn(f"/proc/self/fd/{program}", argv, environment)
    finally:
        os.close(program)
