"""A step's name as a host name, under which the others of its Stage find it; for all back ends alike."""

from __future__ import annotations

import re


def host_name(step: str) -> str:
    """drone and Woodpecker allow anything in the first (RFC 1123, 2.1)."""
    return re.sub(r"[^a-z0-9_.-]+", "-", step.lower()).strip("-._")[:63] or "step"
