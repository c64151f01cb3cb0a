"""The host's /etc/resolv.conf, which containers get their own of. Source: resolv.conf(5)."""

from __future__ import annotations

_PATH = "/etc/resolv.conf"
_LIMIT = 1 << 16  # bytes


def read_resolv_conf(path: str = _PATH) -> str:
    """The text of the host's resolv.conf(5); empty where there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not needed on this path
            return file.read(_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def nameservers(text: str) -> list[str]:
    """The servers that a resolv.conf(5) names."""
    return [words[1] for line in text.splitlines() if len(words := line.split()) > 1 and words[0] == "nameserver"]
