"""How much a client may ask for, and how long what it leaves behind is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    manifest: int = 4 << 20  # what the specification wants a registry to take at least
    blob: int = 64 << 30
    uploads: int = 1000  # going on at once, in all repositories
    references: int = 10_000  # of one manifest to blobs and other manifests
    page: int = 1000  # entries of a list in one answer (CVE-2023-2253: a client's number is no size of a buffer)
    upload_age: float = 24 * 3600.0  # since the last byte came; older ones are given up
    grace: float = 24 * 3600.0  # how long a blob is kept that no manifest refers to yet
