"""The packet rules of all networks of one engine: an nftables table of its own, and nothing else on the host.

Called by `bridges`. The rules are static and match sets of bridges and subnets; a network is an element or two. Written
by one `nft -f -` (5 ms) when the table is missing or of another version, which a question to nfnetlink (0.05 ms) finds
out on every connect, so that rules lost to `nft flush ruleset` or a firewall's restart come back with the next
container.

- Containers reach the outside under the host's address, and answers come back. From outside and from other networks
nothing
  new gets in. Within a network everything passes.
- From an internal network nothing leaves, and the host itself answers nothing but what it asked.
- A published port of the host's leads to its container, from outside, from other containers and from the host itself.
  For its loopback address the bridges, and no other interface, have route_localnet (see `bridges`); what comes from a
  bridge for a loopback address is dropped before anything else sees it (CVE-2020-8558), and a port that is published on
  the loopback address is not translated for packets that come from elsewhere (they would be let in before the kernel's
  own check). Who is sent to a neighbour on its own bridge comes from the gateway's address, for answers have to come
  back through the host; known by its source, since with br_netfilter the bridge itself turns such packets around,
  without an input interface. The translation is what lets a packet in: a container's own address stays out of reach.
- IPv6 is the same, but for the host's ::1, from which the kernel lets no packet out. Source addresses that are not the
  network's are not routed; networks without IPv6 have none.

Verdicts of other tables stay as they are: what the host's own firewall drops stays dropped, see `forward_policy`.
Source: nft(8), linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, UnsupportedError
from sandbox.kernel.netlink import NETFILTER, Netlink, Request, attribute, attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandbox.network.records import Attachment, Network

_MARK = "hako rules "
_VERSION = f"{_MARK}4"  # to be raised with every change of the rules
_LONGEST_OWNER = 100  # characters; nft takes 127 for a comment
_OBJECTS = 17  # chains and sets in the table

_GET_TABLE, _GET_CHAIN = 10 << 8 | 1, 10 << 8 | 4  # NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_…
_FAMILY_INET, _FAMILY_IPV4 = 1, 2
_TABLE_NAME, _TABLE_USE, _TABLE_USERDATA = 1, 3, 6
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_POLICY = 1, 3, 5

_TEMPLATE = """\
add table inet {table}
delete table inet {table}
table inet {table} {{
  comment "{comment}"
  set bridges {{
    type ifname
  }}
  set pairs {{
    type ifname . ifname
  }}
  set internal {{
    type ifname
  }}
  set subnets {{
    type ipv4_addr
    flags interval
  }}
  set members {{
    type ifname . ipv4_addr
    flags interval
  }}
  set subnets6 {{
    type ipv6_addr
    flags interval
  }}
  set members6 {{
    type ifname . ipv6_addr
    flags interval
  }}
  map ports {{
    type inet_proto . inet_service : ipv4_addr . inet_service
  }}
  map ports_at {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }}
  map ports6 {{
    type inet_proto . inet_service : ipv6_addr . inet_service
  }}
  map ports6_at {{
    type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname @internal accept
    ip daddr 127.0.0.0/8 accept
    ip6 daddr ::1 accept
    fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @ports_at
    fib daddr type local dnat ip to meta l4proto . th dport map @ports
    fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_at
    fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip6 daddr ::1 accept
    fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @ports_at
    fib daddr type local dnat ip to meta l4proto . th dport map @ports
    fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_at
    fib daddr type local dnat ip6 to meta l4proto . th dport map @ports6
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname != @bridges oifname != @bridges accept
    ct state established,related accept
    iifname . oifname @pairs accept
    iifname @internal drop
    oifname != @internal ct status dnat accept
    oifname @bridges drop
    ip6 saddr != @subnets6 drop
    ip saddr != @subnets drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname @internal ct state established,related accept
    iifname @internal drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr @subnets oifname != @bridges oifname != "lo" masquerade
    ip6 saddr @subnets6 oifname != @bridges oifname != "lo" masquerade
    ip saddr 127.0.0.0/8 oifname @bridges masquerade
    ct status dnat oifname . ip saddr @members masquerade
    ct status dnat oifname . ip6 saddr @members6 masquerade
  }}
}}
"""


def render(table: str, networks: Iterable[Network], published: Iterable[Attachment] = (), owner: str = "") -> str:
    """A script that makes the table anew, in one transaction, with all `networks` and the ports of all `published`, of
    which the last one wins a port that several have. `owner`, the engine's folder, is kept in the table's comment where
    it fits there.
    """
    plain = owner.isascii() and len(owner) <= _LONGEST_OWNER and all(char.isalnum() or char in "/_.-" for char in owner)
    script = _TEMPLATE.format(table=table, comment=f"{_VERSION}; {owner if plain else '-'}")
    script += "".join(elements("add", table, network) for network in networks)
    targets = {key: value for one in published for key, value in port_elements(one).items()}
    return script + port_script("add", table, targets)


def elements(verb: str, table: str, network: Network) -> str:
    """A script that adds (`add`) or removes (`delete`) one network."""
    bridge = f'"{network.bridge}"'
    own = {"bridges": bridge, "pairs": f"{bridge} . {bridge}"}
    if network.internal:
        own["internal"] = bridge
    else:
        own |= {"subnets": network.subnet, "members": f"{bridge} . {network.subnet}"}
        if network.subnet6:
            own |= {"subnets6": network.subnet6, "members6": f"{bridge} . {network.subnet6}"}
    return "".join(f"{verb} element inet {table} {name} {{ {value} }}\n" for name, value in own.items())


def port_elements(attachment: Attachment) -> dict[str, str]:
    """What is in the table for the published ports of a container: "map { key" -> target. Those at IPv6 addresses of a
    container without one are forwarded, not translated.
    """
    found = {}
    for port in attachment.ports:
        if ":" in port.address and not attachment.address6:
            continue
        key = f"{port.protocol} . {port.port}"
        family, target = ("6", attachment.address6) if ":" in port.address else ("", attachment.address)
        at = f"ports{family} {{ {key}"
        if port.address not in ("", "::"):
            at = f"ports{family}_at {{ {port.address} . {key}"
        found[at] = f"{target} . {port.container}"
    return found


def port_script(verb: str, table: str, targets: Mapping[str, str]) -> str:
    """A script that adds (`add`) or removes (`delete`) what `port_elements` gives."""
    return "".join(f"{verb} element inet {table} {key} : {target} }}\n" for key, target in targets.items())


def present(table: str) -> bool:
    """Whether the table stands with rules of this version."""
    body = _generic(_FAMILY_INET) + attribute(_TABLE_NAME, table.encode() + b"\0")
    answer = _ask(Request(_GET_TABLE, 0, body, table))
    if answer is None:
        return False
    found = attributes(answer, 4)
    objects = struct.unpack(">I", found.get(_TABLE_USE, bytes(4)))[0]
    return objects >= _OBJECTS and _VERSION.encode() in found.get(_TABLE_USERDATA, b"")


def tables() -> dict[str, str]:
    """The tables that engines of this host have made, whatever their version: name -> owner, "-" for one that is not
    told.
    """
    try:
        with Netlink(NETFILTER) as netlink:
            answers = netlink.dump(Request(_GET_TABLE, 0, _generic(_FAMILY_INET), "tables"))
    except OSError:
        return {}
    found = {}
    for answer in answers:
        fields = attributes(answer, 4)
        comment = (
            fields.get(_TABLE_USERDATA, b"")[2:].rstrip(b"\0").decode("utf-8", "replace")
        )  # behind type and length
        if comment.startswith(_MARK):
            found[fields.get(_TABLE_NAME, b"").rstrip(b"\0").decode()] = comment.partition("; ")[2] or "-"
    return found


def forward_policy() -> str:
    """What the host's own `ip filter FORWARD` chain (iptables-nft's, which Docker sets to drop) does by default:
    "accept", "drop", or "" where there is none.
    """
    answer = _chain("FORWARD")
    policy = None if answer is None else attributes(answer, 4).get(_CHAIN_POLICY)
    if policy is None:
        return ""
    return "accept" if struct.unpack(">I", policy)[0] else "drop"


def has_chain(name: str) -> bool:
    """Whether the host's own `ip filter` table has a chain, such as Docker's for rules of other people."""
    return _chain(name) is not None


def _chain(name: str) -> bytes | None:
    names = attribute(_CHAIN_TABLE, b"filter\0") + attribute(_CHAIN_NAME, name.encode() + b"\0")
    return _ask(Request(_GET_CHAIN, 0, _generic(_FAMILY_IPV4) + names, name))


def is_installed() -> bool:
    """Whether there is an `nft` to set rules with."""
    try:
        return bool(_find_nft(_directories()))
    except SandboxError:
        return False


def load(script: str, search: Sequence[str] | None = None) -> None:
    """Have `nft`, found in the directories `search` ($PATH and the usual ones), carry out `script`, all or nothing.

    Raises `SandboxError`: nft is missing, or what it says. Spawned directly, for `subprocess` takes longer to import
    than nft to run.
    """
    program = _find_nft(_directories() if search is None else search)
    source, words = os.memfd_create("rules"), os.memfd_create("words")
    try:
        os.write(source, script.encode())
        os.lseek(source, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, words, 1), (os.POSIX_SPAWN_DUP2, words, 2)]
        pid = os.posix_spawn(program, ["nft", "-f", "-"], {"LC_ALL": "C"}, file_actions=actions)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0:
            return
        said = os.pread(words, 4096, 0).decode("utf-8", "replace").strip().splitlines()
    finally:
        os.close(source)
        os.close(words)
    reason = said[0] if said else f"nft ended with {code}"
    raise UnsupportedError(
        f"the network's packet rules cannot be set: {reason}",
        hint="the kernel needs nf_tables, and the caller CAP_NET_ADMIN; --network none and host do without",
        reference="nft-failed",
    )


def _directories() -> Sequence[str]:
    return (*os.get_exec_path(), "/usr/sbin", "/sbin", "/usr/local/sbin")


def _find_nft(directories: Sequence[str]) -> str:
    for directory in directories:
        path = f"{directory}/nft"
        if os.access(path, os.X_OK):
            return path
    raise SandboxError(
        "nft is not installed, and networks need it",
        hint="install the package nftables, or use --network none or host",
        reference="nft-missing",
    )


def _generic(family: int) -> bytes:
    """`struct nfgenmsg`."""
    return struct.pack("=BBH", family, 0, 0)


def _ask(request: Request) -> bytes | None:
    try:
        with Netlink(NETFILTER) as netlink:
            return netlink.get(request)
    except OSError:  # no nf_tables in the kernel, or no right to look: setting the rules will tell
        return None
