"""Which proxy leads to an address, as the environment says it; read as Go's programs (docker, podman) read it. Pure.

`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`, also in capitals. Never one to this host itself. Source:
golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from sandbox.registry.client.hosts import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Proxies:
    """The proxies of an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._named = {
            scheme: environment.get(f"{scheme}_proxy") or environment.get(f"{scheme.upper()}_PROXY", "")
            for scheme in ("http", "https", "all")
        }
        listed = environment.get("no_proxy") or environment.get("NO_PROXY", "")
        self._without = [item.strip().lower() for item in listed.split(",") if item.strip()]

    def find(self, url: str) -> str:
        """The address of the proxy to use, empty for none."""
        parts = urlsplit(url)
        proxy = self._named.get(parts.scheme) or self._named["all"]
        if not proxy or is_loopback(parts.netloc) or any(_covers(item, parts) for item in self._without):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


def _covers(item: str, parts: SplitResult) -> bool:
    """Whether an entry of `no_proxy` is for that address: a domain and all below it, an address, a network, a port."""
    host = parts.hostname or ""
    if item == "*":
        return True
    try:
        return ip_address(host) in ip_network(item, strict=False)
    except ValueError:
        pass
    name, colon, port = item.rpartition(":")
    if colon and port.isdigit():
        if int(port) != (parts.port or _DEFAULT_PORTS[parts.scheme]):
            return False
        item = name
    item = item.removeprefix("*")
    return host == item.lstrip(".") or host.endswith(item if item.startswith(".") else f".{item}")
