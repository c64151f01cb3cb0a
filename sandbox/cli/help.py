"""The help texts, made from the grammar of the verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.cli.options import Option, Syntax

_WIDTH = 34
_GLOBAL = """\
Options before the verb:
  --home DIR     state directory (default $HAKO_HOME, else /var/lib/hako, for an ordinary user ~/.local/share/hako)
  --version      print the version
  --help         this text; `sandbox VERB --help` for a verb
"""


def overview(syntaxes: Mapping[str, Syntax]) -> str:
    """`sandbox --help`: every verb with one line."""
    width = max(map(len, syntaxes)) + 3
    lines = "".join(f"  {name:<{width}}{syntax.help}\n" for name, syntax in syntaxes.items())
    return (
        "Usage: sandbox [--home DIR] VERB [OPTION…] [OPERAND…]\n\n"
        "Containers without a daemon: images, containers and networks in one state directory.\n\n"
        f"Verbs:\n{lines}\n{_GLOBAL}"
    )


def verb(name: str, syntax: Syntax) -> str:
    """`sandbox VERB --help`."""
    usage = f"Usage: sandbox {name}{' [OPTION…]' if syntax.options else ''} {syntax.operands}".rstrip()
    text = f"{usage}\n\n{syntax.help[:1].upper()}{syntax.help[1:]}.\n"
    if syntax.options:
        text += "\nOptions:\n" + "".join(map(_option, syntax.options))
    return text


def _option(option: Option) -> str:
    indent = "" if len(option.names[0]) == 2 else "    "
    left = f"  {indent}{', '.join(option.names)}{' ' + option.value if option.value else ''}"
    gap = "\n" + " " * _WIDTH if len(left) >= _WIDTH - 1 else " " * (_WIDTH - len(left))
    several = "; may be repeated" if option.many else ""
    return f"{left}{gap}{option.help}{several}\n"
