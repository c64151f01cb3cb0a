"""Who sees whom in a network, and how its containers' hosts files are told.

Called by `networks` with the network's lock held, for everybody who joins or leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.network import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.network.records import Attachment, Network


def entry(network: Network, one: Attachment, shared: bool) -> tuple[str, tuple[str, ...]]:
    """(address, names) as a viewer sees it: who is on the host's network is at 127.0.0.1 for its like (`shared`), and
    at the gateway for those on the bridge.
    """
    return (network.gateway if one.shared and not shared else one.address, one.names)


def tell(network: Network, everyone: Sequence[Attachment], newcomer: str = "", initial: str = "") -> None:
    """Bring the hosts files of everybody in the network up to date; the file of `newcomer` is made from `initial`."""
    views: dict[bool, list[str]] = {}  # the lines as the two kinds of viewers see them, made once for all files
    for position, one in enumerate(everyone):
        if not one.hosts_path:
            continue
        lines = views.get(one.shared)
        if lines is None:
            lines = views[one.shared] = [names.block([entry(network, other, one.shared)]) for other in everyone]
        # Itself first, then whoever comes after it: of several with one name not all meet the same
        block = "".join([*lines[position:], *lines[:position]])
        new = one.container == newcomer
        try:
            names.rewrite(one.hosts_path, network.name, block, initial=initial if new else None)
        except OSError:
            if new:
                raise  # a peer's file that cannot be written must not keep others from joining
