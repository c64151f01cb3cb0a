"""Where the commands of a step begin in its log.

The script of a step prints each command before it runs (`ci.pipeline.script`): its lines, each after `+ `. They are
looked for in the order in which they run, so that what a command itself prints in that form (`set -x`, a diff) is taken
for a beginning only if it is, word for word, the next command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ci.logs.marks import STRIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.logs.reading import Reader

_BUDGET = 256 << 20  # bytes that one call goes through


class Begun(NamedTuple):
    """A command's first line, counted from 0, and when it was printed."""

    line: int
    time: float


class Commands(NamedTuple):
    """`begun` since `known` of before; `known` now. The next call begins at `next`."""

    begun: tuple[Begun, ...]
    known: int
    next: int


def commands(reader: Reader, texts: Sequence[str], *, known: int = 0, begin: int = 0) -> Commands:
    """Find those after the first `known`, from the byte `begin` on."""
    begun: list[Begun] = []
    offset = begin
    while known < len(texts) and offset - begin < _BUDGET and (block := reader.read(offset, STRIDE)):
        needle = b"+ " + texts[known].partition("\n")[0].encode("utf-8", "surrogatepass") + b"\n"
        if offset == 0 and block.startswith(needle):
            at = 0
        else:
            at = block.find(b"\n" + needle) + 1
            if at == 0:
                if len(block) < STRIDE or len(needle) >= STRIDE:
                    # What may be the beginning of it is looked at again when there is more.
                    offset += max(0, len(block) - len(needle))
                    break
                offset += len(block) - len(needle)
                continue
        begun.append(Begun(reader.line_at(offset + at), reader.time_of(offset + at)))
        known += 1
        offset += at + len(needle) - 1  # its line feed may be the one before the next
    return Commands(tuple(begun), known, offset)
