"""DNS messages, as far as a resolver for containers needs them: one question in, an answer of addresses or a name out.

Pure. Messages come from containers and from the network, so `parse` is the one place that reads them: it takes a header
and exactly one question, without compression, and nothing else. Source: RFC 1035 §4, RFC 3596.
"""

from __future__ import annotations

import _socket
import struct

from sandbox.records import NamedTuple

A, PTR, AAAA, ANY = 1, 12, 28, 255
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
_INTERNET = 1
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _AUTHORITATIVE, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0100, 0x0080
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
_TO_QUESTION = b"\xc0\x0c"  # a pointer to the name in the question
LIFETIME = 5  # seconds: containers and their aliases come and go
_REVERSE, _REVERSE6 = ".in-addr.arpa", ".ip6.arpa"


class Question(NamedTuple):
    """What is asked. `name` is lower case, without the dot at the end; `raw` are the question's bytes."""

    id: int
    flags: int
    name: str
    kind: int
    raw: bytes


def parse(message: bytes) -> Question | None:
    """The question of a message; None for what is no query of ours: not one question, another class, malformed."""
    found = _name(message)
    if found is None or len(message) < found[1] + 4:
        return None
    name, end = found
    number, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    kind, group = struct.unpack_from(">HH", message, end)
    if flags & _RESPONSE or flags >> 11 & 0xF or questions != 1 or group != _INTERNET:
        return None
    return Question(number, flags, name, kind, message[_HEADER.size : end + 4])


def _name(message: bytes) -> tuple[str, int] | None:
    """The name behind the header, in lower case, and where it ends."""
    labels: list[str] = []
    at = _HEADER.size
    while at < len(message) and at - _HEADER.size < _LONGEST_NAME:
        length = message[at]
        if length == 0:
            return ".".join(labels).lower(), at + 1
        if length > _LONGEST_LABEL or at + 1 + length > len(message):
            return None
        labels.append(message[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    return None


def answers(question: Question, message: bytes) -> bool:
    """Whether `message`, of a resolver, is a response to the same question."""
    if len(message) < _HEADER.size + len(question.raw):
        return False
    number, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    asked = message[_HEADER.size : _HEADER.size + len(question.raw)]
    return (
        bool(flags & _RESPONSE) and number == question.id and questions == 1 and asked.lower() == question.raw.lower()
    )


def with_id(message: bytes, number: int) -> bytes:
    """The message under another id."""
    return struct.pack(">H", number) + message[2:]


def reply(question: Question, addresses: list[str], code: int = NO_ERROR) -> bytes:
    """A response with `addresses` of the family that is asked for; without any it says that there are none."""
    records = []
    for address in addresses:
        six = ":" in address
        if question.kind not in (AAAA if six else A, ANY):
            continue
        data = _socket.inet_pton(_socket.AF_INET6 if six else _socket.AF_INET, address)
        records.append(_record(AAAA if six else A, data))
    return _response(question, records, code)


def reply_name(question: Question, name: str) -> bytes:
    """A response with the name of the address that is asked for."""
    return _response(question, [_record(PTR, _pack_name(name))], NO_ERROR)


def address_of(name: str) -> str:
    """The address that a name under in-addr.arpa or ip6.arpa stands for; empty for other names."""
    try:
        if name.endswith(_REVERSE):
            text = ".".join(reversed(name[: -len(_REVERSE)].split(".")))
            return _socket.inet_ntop(_socket.AF_INET, _socket.inet_pton(_socket.AF_INET, text))
        if name.endswith(_REVERSE6):
            digits = "".join(reversed(name[: -len(_REVERSE6)].split(".")))
            return _socket.inet_ntop(_socket.AF_INET6, bytes.fromhex(digits)) if len(digits) == 32 else ""
    except (OSError, ValueError):
        pass
    return ""


def _record(kind: int, data: bytes) -> bytes:
    return _TO_QUESTION + struct.pack(">HHIH", kind, _INTERNET, LIFETIME, len(data)) + data


def _response(question: Question, records: list[bytes], code: int) -> bytes:
    flags = _RESPONSE | _RECURSION_AVAILABLE | question.flags & _RECURSION_DESIRED | code
    flags |= _AUTHORITATIVE if code == NO_ERROR else 0
    return _HEADER.pack(question.id, flags, 1, len(records), 0, 0) + question.raw + b"".join(records)


def _pack_name(name: str) -> bytes:
    labels = [label.encode("latin-1", "replace")[:_LONGEST_LABEL] for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
