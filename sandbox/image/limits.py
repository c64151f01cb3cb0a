"""How much an archive from outside may ask for before it is refused.

Far above what real images have (the largest public ones: a million entries, 60 GB), far below what harms a host.
"""

from __future__ import annotations

from sandbox.records import NamedTuple


class Limits(NamedTuple):
    """Sizes in bytes. The kernel's own bounds (PATH_MAX, NAME_MAX) hold on top."""

    entries: int = 4_000_000
    data: int = 256 << 30  # of files really written, and of the archive as it is read
    file_size: int = 1 << 40  # one file's length, holes included
    path: int = 4096  # PATH_MAX
    header: int = 1 << 20  # one pax or GNU header, all global ones together; Go's archive/tar has the same
    sparse_segments: int = 100_000  # of one file
