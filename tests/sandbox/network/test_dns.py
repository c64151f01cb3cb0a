"""DNS messages: what is read, what is refused, and what is written."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.network import dns


def query(name: str, kind: int = dns.A, *, number: int = 7, flags: int = 0x0100, group: int = 1) -> bytes:
    """A question as a client sends it."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label)
    return struct.pack(">HHHHHH", number, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, group)


def read(message: bytes) -> tuple[int, int, int]:
    """(id, code, number of answers)."""
    number, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", message)
    assert flags & 0x8000
    return number, flags & 0xF, answers


def asked(name: str, kind: int = dns.A) -> dns.Question:
    """A parsed question."""
    question = dns.parse(query(name, kind))
    assert question is not None
    return question


def test_a_question_is_read() -> None:
    """Name in lower case, kind, id; what follows the question (EDNS) is left alone."""
    question = dns.parse(query("DB.Example", dns.AAAA) + b"additional")
    assert question is not None
    assert (question.id, question.name, question.kind) == (7, "db.example", dns.AAAA)
    assert asked("").name == ""


@pytest.mark.parametrize(
    "message",
    [
        b"",
        query("a")[:-1],
        query("a", flags=0x8000),
        query("a", flags=0x2800),
        query("a", group=3),
        query("a")[:4] + b"\0\2" + query("a")[6:],
        query("a")[:12] + b"\xc0\x0c" + b"\0\1\0\1",
        query("a")[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        query(".".join(["a" * 63] * 5)),
    ],
)
def test_what_is_no_question(message: bytes) -> None:
    """Short, a response, another operation or class, several questions, pointers, long labels and names."""
    assert dns.parse(message) is None


@given(st.binary(max_size=600))
def test_noise_is_never_an_error(message: bytes) -> None:
    """Whatever a container sends is a question or nothing."""
    question = dns.parse(message)
    if question is not None:
        dns.reply(question, ["10.0.0.1", "fd00::1"])
        dns.reply_name(question, "a.b")
        dns.address_of(question.name)


@given(st.binary(min_size=12, max_size=80))
def test_noise_behind_a_header(rest: bytes) -> None:
    """The same where the header is right."""
    dns.parse(query("a")[:12] + rest)


def test_answers_have_the_family_that_was_asked_for() -> None:
    """A name with other addresses only exists, without an answer; a name that nobody has does not."""
    both = ["10.0.0.1", "10.0.0.2", "fd00::1"]
    assert read(dns.reply(asked("db"), both)) == (7, 0, 2)
    assert read(dns.reply(asked("db", dns.AAAA), both)) == (7, 0, 1)
    assert read(dns.reply(asked("db", 15), both)) == (7, 0, 0)
    assert read(dns.reply(asked("db"), [], dns.NO_SUCH_NAME)) == (7, 3, 0)
    assert dns.reply(asked("db"), ["10.0.0.1"]).endswith(b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1")
    assert dns.reply_name(asked("x", dns.PTR), "web.net").endswith(b"\3web\3net\0")


def test_reverse_names() -> None:
    """Of both families; others stand for no address."""
    assert dns.address_of("4.3.2.10.in-addr.arpa") == "10.2.3.4"
    assert dns.address_of("1." + "0." * 29 + "d.f.ip6.arpa") == "fd00::1"
    for name in ("x.in-addr.arpa", "1.2.3.in-addr.arpa", "0.ip6.arpa", "in-addr.arpa", "db", "256.1.1.1.in-addr.arpa"):
        assert dns.address_of(name) == ""


def test_only_the_answer_to_the_question_counts() -> None:
    """Another id, another question, or no response at all is somebody else's."""
    question = asked("db")
    answer = dns.reply(question, ["10.0.0.1"])
    assert dns.answers(question, answer)
    assert not dns.answers(question, dns.with_id(answer, 8))
    assert not dns.answers(question, dns.reply(asked("dc"), []))
    assert not dns.answers(question, query("db"))
    assert not dns.answers(question, b"")
