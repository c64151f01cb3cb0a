"""What the older packet filter, iptables-legacy, does with forwarded packets.

Called by `sandbox/network` for a warning: nfnetlink shows only rules of nf_tables (iptables-nft's among them). Asks
nothing that would load the filter's module. Source: linux/netfilter_ipv4/ip_tables.h.
"""

from __future__ import annotations

import _socket
import ctypes
import os
import struct

_TABLES = "/proc/net/ip_tables_names"
_INFO, _ENTRIES = 64, 65  # IPT_SO_GET_…
_FORWARD = 2  # NF_INET_FORWARD
_HEAD = struct.Struct("=32s13I")  # struct ipt_getinfo: name, hooks, entry and underflow of each of five, count, size
_ENTRIES_HEAD = 40  # struct ipt_get_entries up to its entries
_TARGET_OFFSET = 88  # in struct ipt_entry
_TARGET_HEAD = 32  # struct xt_entry_target, before a standard target's verdict
_DROP = -1  # -NF_DROP - 1


def forward_policy() -> str:
    """What the chain FORWARD does by default: "accept", "drop", or "" where there is none or none to be seen."""
    try:
        with open(_TABLES, "rb") as file:
            if b"filter" not in file.read().split():
                return ""
        information = _HEAD.unpack(_ask(_INFO, b"filter".ljust(_HEAD.size, b"\0")))
        underflow, size = information[7 + _FORWARD], information[13]
        if information[1] >> _FORWARD & 1 == 0:
            return ""
        request = b"filter".ljust(32, b"\0") + struct.pack("=I", size)
        entries = _ask(_ENTRIES, request.ljust(_ENTRIES_HEAD + size, b"\0"))[_ENTRIES_HEAD:]
        (target,) = struct.unpack_from("=H", entries, underflow + _TARGET_OFFSET)
        (verdict,) = struct.unpack_from("=i", entries, underflow + target + _TARGET_HEAD)
    except (OSError, struct.error):
        return ""
    return "drop" if verdict == _DROP else "accept"


def _ask(option: int, request: bytes) -> bytes:
    """getsockopt(2) with a question in the buffer of the answer, which Python's own does not have."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(request, len(request))
    length = ctypes.c_uint32(len(request))
    socket = _socket.socket(_socket.AF_INET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.IPPROTO_RAW)
    try:
        if library.getsockopt(socket.fileno(), _socket.IPPROTO_IP, option, buffer, ctypes.byref(length)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "filter")
    finally:
        socket.close()
    return buffer.raw[: length.value]
