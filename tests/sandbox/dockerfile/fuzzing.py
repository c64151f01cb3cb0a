"""A fuzz run of all that reads a Dockerfile before anything is built: mutations of the tests' own files.

`make fuzz` runs it for as long as one likes, from a seed that it prints, and writes what fails to a file; the tests run
a fixed number of mutations. Any text is either read, or refused by a SandboxError, in a time that is bounded; all that
is found wrong can be shown.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.builder.graph import plan_build
from sandbox.dockerfile.checks import check
from sandbox.dockerfile.diagnostics import Mistake, render
from sandbox.dockerfile.expansion import Expander
from sandbox.dockerfile.ignorefile import read_ignore_file
from sandbox.dockerfile.mounts import MountError, parse_mount
from sandbox.dockerfile.parsing import parse
from sandbox.errors import SandboxError
from sandbox.image.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE = 5.0  # seconds for one text of a few kilobytes; those here take milliseconds
_HERE = Path(__file__).resolve().parent
_LARGEST = 20_000  # bytes
_PIECES = tuple(
    piece.encode()
    for piece in (
        *(
            "${",
            "}",
            "$",
            "\\",
            "`",
            '"',
            "'",
            "[",
            "]",
            ",",
            "=",
            ":",
            "-",
            "#",
            "%",
            "//",
            "<<EOF",
            "<<-'X'",
            "EOF\n",
        ),
        *("\n", "\\\n", "\r\n", "\t", " ", "\0", "\u2028", "é", "\ufeff", "**", "!", "?", "[^a-", "../", "@sha256:"),
        *("FROM ", " AS ", "RUN ", "COPY ", "ADD ", "ARG ", "ENV ", "ONBUILD ", "HEALTHCHECK ", "SHELL ", "EXPOSE "),
        *("--from=", "--mount=type=", "--chmod=", "--platform=", "--checksum=", "NONE", "CMD ", "# escape=`\n"),
        *("# check=skip=all;error=true\n", "# syntax=", "0", "-1", "99999999999999999999", "5h3m", "80/tcp", "8000-1"),
    )
)


class FailureError(Exception):
    """A text is neither read nor refused."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(f"{message} of {data!r}")
        self.data = data


def corpus() -> tuple[bytes, ...]:
    """The Dockerfiles of the tests."""
    folders = (_HERE / "golden", _HERE.parent / "builder" / "corpus", _HERE.parent / "builder" / "graphs")
    return tuple(path.read_bytes() for folder in folders for path in sorted(folder.glob("*.Dockerfile")))


def mutations(texts: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Texts without end, each made of one of `texts` by some changes, of which those before are forgotten."""
    changes = (_cut, _doubled, _insert, _flipped, _swapped, _spliced)
    while True:
        data = chance.choice(texts)
        for _ in range(chance.randint(1, 8)):
            change = chance.choice(changes)
            data = change(data, chance, texts)[:_LARGEST]
        yield data


def read(data: bytes) -> None:
    """Whatever is done with a Dockerfile before anything is built. Raises what nothing may raise."""
    dockerfile = parse(data)
    render(dockerfile.source, dockerfile.diagnostics)
    _refusable(dockerfile.require)
    if not dockerfile.diagnostics:
        _refusable(lambda: plan_build(dockerfile, {"A": "b"}, Platform("linux", "amd64"), ""))
        render(dockerfile.source, check(dockerfile, environment=lambda _: None))
    text = data.decode("utf-8", "surrogateescape")
    expander = Expander(dockerfile.directives.escape)
    for reader in (expander.word, expander.words, expander.document):
        _refusable(lambda reader=reader: reader(text, {"A": "b", "PATH": "/bin"}))  # type: ignore[misc]
    _refusable(lambda: read_ignore_file(text).ignores("some/path"))
    for line in text.splitlines()[:50]:
        _refusable(lambda line=line: parse_mount(line.partition("--mount=")[2], lambda value: value))  # type: ignore[misc]


def run(texts: Iterator[bytes], *, count: int = 0, seconds: float = 0.0) -> int:
    """Read `count` texts, or for some seconds; how many. FailureError for the first that fails."""
    began, done = time.monotonic(), 0
    for data in texts:
        started = time.monotonic()
        if (count and done >= count) or (seconds and started - began >= seconds):
            break
        try:
            read(data)
        except Exception as error:
            raise FailureError(f"{type(error).__name__}: {error}", data) from error
        if time.monotonic() - started > PATIENCE:
            raise FailureError(f"it takes {time.monotonic() - started:.1f} s", data)
        done += 1
    return done


def _refusable(do: Callable[[], object]) -> None:
    with suppress(SandboxError, Mistake, MountError):
        do()


def _places(data: bytes, chance: random.Random) -> tuple[int, int]:
    """Where a part begins and ends; lines and words more often than others."""
    first = chance.randint(0, len(data))
    if chance.random() < 0.5:
        separator = chance.choice((b"\n", b" "))
        first = data.rfind(separator, 0, first) + 1
        last = data.find(separator, first)
        return first, len(data) if last < 0 else last + 1
    return first, min(len(data), first + chance.randint(0, 40))


def _cut(data: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    first, last = _places(data, chance)
    return data[:first] + data[last:]


def _doubled(data: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    first, last = _places(data, chance)
    return data[:last] + data[first:last] * chance.choice((1, 2, 50)) + data[last:]


def _insert(data: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    place, _end = _places(data, chance)
    return data[:place] + chance.choice(_PIECES) * chance.choice((1, 1, 1, 3, 100)) + data[place:]


def _flipped(data: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes((data[place] ^ (1 << chance.randrange(8)),)) + data[place + 1 :]


def _swapped(data: bytes, chance: random.Random, _: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    chance.shuffle(lines)
    return b"".join(lines)


def _spliced(data: bytes, chance: random.Random, texts: Sequence[bytes]) -> bytes:
    other = chance.choice(texts)
    return data[: _places(data, chance)[0]] + other[_places(other, chance)[0] :]


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description="fuzz what reads Dockerfiles")
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options.add_argument("--save", type=Path, default=Path("build/fuzz-failure.Dockerfile"))
    given = options.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    try:
        done = run(mutations(corpus(), random.Random(given.seed)), seconds=given.seconds)  # noqa: S311
    except FailureError as failure:
        given.save.parent.mkdir(parents=True, exist_ok=True)
        given.save.write_bytes(failure.data)
        sys.stdout.write(f"{str(failure)[:2000]}\nthe text is in {given.save}\n")
        return 1
    sys.stdout.write(f"{done} texts, no failure\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
