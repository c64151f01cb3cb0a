"""`sandbox pause` and `unpause`: containers that stand still, with all that they have in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import Syntax, Verb
from sandbox.cli.session import for_each, open_engine

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _pause(arguments: Arguments, home: str) -> int:
    return for_each(arguments.operands, open_engine(home).pause)


def _unpause(arguments: Arguments, home: str) -> int:
    return for_each(arguments.operands, open_engine(home).unpause)


VERBS = {
    "pause": Verb(Syntax("freeze all processes of containers", "CONTAINER..."), _pause),
    "unpause": Verb(Syntax("let the processes of frozen containers go on", "CONTAINER..."), _unpause),
}
