"""Whether a process that supervises containers has namespaces ready for the next one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def has_namespaces(pid: int) -> bool:
    """Whether it holds a network namespace; while it starts a container it does, too."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(descriptor.readlink()))
    return any(link.startswith("net:[") for link in links)
