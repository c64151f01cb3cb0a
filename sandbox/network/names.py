"""The /etc/hosts of containers: their own names, their peers', and how they change while containers run.

The file is bind-mounted into the container, so it is rewritten in place (same inode), in a way that hides half-written
lines from readers as far as that goes without a lock. Only the block between two marker comments is the network's; what
stands outside (the base, `--add-host`, a container's own edits) is kept. Called by `networks` under the network's lock.
Format: hosts(5).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BASE = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_LARGEST = 1 << 20  # bytes of a hosts file that are read back; a container can make its own as large as it likes


def base(names: Sequence[str] = (), extra: Iterable[tuple[str, str]] = ()) -> str:
    """A hosts file without peers: localhost, `names` as 127.0.0.1 if there are any (a container without a network), and
    the `extra` pairs of (name, address).
    """
    lines = [_BASE]
    if names:
        lines.append(line("127.0.0.1", names))
    lines += [line(address, (name,)) for name, address in extra]
    return "".join(lines)


def line(address: str, names: Sequence[str]) -> str:
    """One entry; what could break out of it is left out of the names."""
    return f"{address}\t{' '.join(''.join(name.split()).replace('#', '') for name in names)}\n"


def block(entries: Iterable[tuple[str, Sequence[str]]]) -> str:
    """The lines of (address, names); an entry without names is left out."""
    return "".join(line(address, names) for address, names in entries if names)


def merge(text: str, network: str, lines: str) -> str:
    """`text` with the block of `network` replaced by `lines`, or added at its end; no lines at all take the
    block out.
    """
    opening, closing = f"# network {network}, kept by hako\n", f"# end of network {network}\n"
    head, found, rest = text.partition(opening)
    if found:
        # A container may have edited inside; without the closing mark everything behind the opening one is ours
        _, found, tail = rest.partition(closing)
        tail = tail if found else ""
    else:
        tail = ""
    if head and not head.endswith("\n"):
        head += "\n"
    return head + (opening + lines + closing if lines else "") + tail


def write(path: str, text: str) -> None:
    """Make the file, or replace its contents while keeping its inode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _replace(descriptor, text.encode(), os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def rewrite(path: str, network: str, lines: str, *, initial: str | None = None) -> None:
    """Make `lines` the block of `network` in the file.

    A file that is missing is made from `initial`; without one it is left missing: its container is gone.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags if initial is None else flags | os.O_CREAT, 0o644)
    except FileNotFoundError:
        if initial is not None:
            raise
        return
    try:
        old = os.read(descriptor, _LARGEST)
        text = old.decode("utf-8", "surrogateescape") if old else initial or ""
        new = merge(text, network, lines).encode("utf-8", "surrogateescape")
        if new != old:
            _replace(descriptor, new, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _replace(descriptor: int, new: bytes, size: int) -> None:
    # Readers take no lock. The file grows by blank lines first and shrinks by them last, so that what a reader knows of
    # its size never cuts a line; all that is left is the moment of the kernel's own copying.
    blank = b"\n" * min(abs(len(new) - size), _LARGEST)
    if len(new) > size > 0:
        os.pwrite(descriptor, blank, size)
    if len(new) < size:
        os.pwrite(descriptor, new + blank, 0)
        os.ftruncate(descriptor, len(new))
    else:
        os.pwrite(descriptor, new, 0)
