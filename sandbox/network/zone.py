"""What one container's networks know, for its resolver: names of peers, their addresses, and where other questions go.

Called by the supervisor's resolver for every question. Networks are folders that others write; what was read is kept
until the folder changes.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.network.peers import entry
from sandbox.network.reservations import read_all
from sandbox.network.resolvconf import nameservers, read_resolv_conf

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.network.networks import Networks
    from sandbox.network.records import Attachment, Network

_SETTLED = 100_000_000  # nanoseconds: a folder that changed this lately may change again without its time's telling


class Zone:
    """The networks of `attachments`, which may change; `servers` instead of the host's, if any."""

    def __init__(
        self, networks: Networks, attachments: Callable[[], tuple[Attachment, ...]], servers: tuple[str, ...] = ()
    ) -> None:
        self._networks = networks
        self._attachments = attachments
        self._servers = servers
        self._known: dict[str, tuple[int, Network, list[Attachment]]] = {}

    def addresses(self, name: str) -> list[str] | None:
        """Of a name (or NAME.NETWORK), in another order every time; None when nobody has it."""
        found: list[str] = []
        for network, everyone in self._everyone():
            wanted = name.removesuffix(f".{network.name.lower()}")
            for one in everyone:
                if any(known.lower() in (name, wanted) for known in one.names):
                    found.append(entry(network, one, shared=False)[0])
                    found += [one.address6] if one.address6 else []
        if not found:
            return None
        at = os.urandom(1)[0] % len(found)
        return found[at:] + found[:at]

    def name(self, address: str) -> str:
        """NAME.NETWORK of an address; "" when nobody has it."""
        for network, everyone in self._everyone():
            for one in everyone:
                if address in (one.address, one.address6) and one.names:
                    return f"{one.names[1] if len(one.names) > 1 else one.names[0]}.{network.name}"
        return ""

    def servers(self) -> list[str]:
        """The host's, as they are now, or those that were asked for; none where all networks are internal."""
        if not any(one.gateway for one in self._attachments()):
            return []
        return list(self._servers) or nameservers(read_resolv_conf())

    def _everyone(self) -> list[tuple[Network, list[Attachment]]]:
        return [found for one in self._attachments() if (found := self._read(one.network)) is not None]

    def _read(self, name: str) -> tuple[Network, list[Attachment]] | None:
        folder = self._networks.folder(name)
        try:
            changed = os.stat(f"{folder}/addresses").st_mtime_ns  # noqa: PTH116
        except OSError:
            return None
        before = self._known.get(name)
        if before is not None and before[0] == changed:
            return before[1:]
        network, everyone = self._networks.get(name), read_all(folder)
        if time.time_ns() - changed > _SETTLED:
            self._known[name] = (changed, network, everyone)
        return network, everyone
