"""The expressions of `when.evaluate`: the part of expr-lang that conditions use, over the `CI_*` variables.

Pure. Literals, variables (one that is not set is nil), `== != < <= > >=`, `and or not && || !`, `in`, `not in`,
`contains`, `startsWith`, `endsWith`, `matches`, `+ - * / %`, `? :`, `??`, lists, indexing, and the functions below
(expr-lang.org, "Language Definition"). Values are nil, true and false, numbers, strings and lists. Evaluation does at
most what the expression's length says: there are no loops, and `matches` wants a pattern without nested repetition.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LENGTH_LIMIT = 10_000
DEPTH_LIMIT = 50

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    | (?P<operator>==|!=|<=|>=|&&|\|\||\?\?|\*\*|[-+*/%<>!?:()\[\],.|])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
_NESTED = re.compile(r"[*+}]\)?[*+{]|\([^)]*[*+][^)]*\)[*+{]")
_WORDS = ("and", "or", "not", "in", "contains", "startsWith", "endsWith", "matches")
# How tightly operators bind, as in expr-lang; `**` is not one that conditions need.
_BINDING = {
    "??": 1, "or": 2, "||": 2, "and": 3, "&&": 3, "==": 4, "!=": 4, "<": 4, ">": 4, "<=": 4, ">=": 4,
    "in": 4, "not": 4, "contains": 4, "startsWith": 4, "endsWith": 4, "matches": 4,
    "+": 6, "-": 6, "*": 7, "/": 7, "%": 7,
}  # fmt: skip

Value = Any  # nil is None; else bool, int, float, str, list
Node = Any  # a function of the variables


class ExpressionError(ValueError):
    """What is wrong with an expression, and where in its text; `hint` says what to write."""

    def __init__(self, message: str, start: int = 0, end: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.start = start
        self.end = end
        self.hint = hint


def evaluate(text: str, variables: Mapping[str, str]) -> bool:
    """Whether the expression holds. Raises ExpressionError, also where it is neither true nor false."""
    node = parse(text)
    try:
        value = node(variables)
    except (TypeError, ValueError, IndexError, ArithmeticError, RecursionError) as error:
        raise ExpressionError(f"the expression cannot be evaluated: {error}", 0, len(text)) from None
    if not isinstance(value, bool):
        raise ExpressionError("the expression is neither true nor false", 0, len(text), 'compare it: == "value"')
    return value


def parse(text: str) -> Callable[[Mapping[str, str]], Value]:
    """The expression as a function of the variables. Raises ExpressionError."""
    if len(text) > LENGTH_LIMIT:
        raise ExpressionError(f"an expression has at most {LENGTH_LIMIT} characters", 0, len(text))
    parser = _Parser(_tokens(text), len(text))
    node = parser.expression(0)
    if parser.token.kind != "end":
        raise parser.error(f'"{parser.token.text}" is not expected here')
    return node  # type: ignore[no-any-return]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f'"{text[at]}" is not expected here', at, at + 1)
        kind = match.lastgroup
        tokens.append(_Token(kind, match[kind], match.start(kind), match.end(kind)))
        at = match.end()
    return [*tokens, _Token("end", "the end", len(text), len(text))]


class _Parser:
    """Reads tokens by how tightly operators bind."""

    def __init__(self, tokens: list[_Token], length: int) -> None:
        self.tokens = tokens
        self.at = 0
        self.length = length
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def error(self, message: str, hint: str = "") -> ExpressionError:
        """An error at the token that is looked at."""
        return ExpressionError(message, self.token.start, self.token.end, hint)

    def accept(self, *texts: str) -> bool:
        """Pass over the token if it is one of these."""
        if self.token.kind in {"operator", "name"} and self.token.text in texts:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Pass over the token, which must be this."""
        if not self.accept(text):
            raise self.error(f'"{text}" is expected here, not {self._shown()}')

    def _shown(self) -> str:
        return self.token.text if self.token.kind == "end" else f'"{self.token.text}"'

    def expression(self, binding: int) -> Node:
        """Everything that binds more tightly than `binding`."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise self.error(f"nested more than {DEPTH_LIMIT} deep")
        left = self._unary()
        while (operator := self.token.text) in _BINDING and self.token.kind != "string":
            if _BINDING[operator] <= binding:
                break
            self.at += 1
            negated = operator == "not"
            if negated:
                operator = self.token.text
                if operator not in {"in", "contains", "startsWith", "endsWith", "matches"}:
                    raise self.error(f'"not" is not expected before {self._shown()}')
                self.at += 1
            start = self.token.start
            right = self.expression(_BINDING[operator])
            left = self._binary(operator, left, right, start)
            if negated:
                left = _negation(left)
        if binding == 0 and self.accept("?"):
            then = self.expression(0)
            self.expect(":")
            left = _choice(left, then, self.expression(0))
        self.depth -= 1
        return left

    def _binary(self, operator: str, left: Node, right: Node, start: int) -> Node:
        if operator == "matches":
            pattern = right({}) if getattr(right, "constant", False) else None
            if not isinstance(pattern, str):
                raise ExpressionError('"matches" wants a pattern as a string', start, self.token.start)
            compiled = _pattern(pattern, start, self.token.start)
            return lambda variables: compiled.search(_string(left(variables))) is not None
        if operator in {"and", "&&"}:
            return lambda variables: _truth(left(variables)) and _truth(right(variables))
        if operator in {"or", "||"}:
            return lambda variables: _truth(left(variables)) or _truth(right(variables))
        if operator == "??":
            return lambda variables: right(variables) if (value := left(variables)) is None else value
        calculate = _CALCULATE[operator]
        return lambda variables: calculate(left(variables), right(variables))

    def _unary(self) -> Node:
        if self.accept("not", "!"):
            return _negation(self.expression(_BINDING["=="] if self.tokens[self.at - 1].text == "not" else 8))
        if self.accept("-"):
            inner = self.expression(8)
            return lambda variables: -inner(variables)
        node = self._primary()
        while self.accept("["):
            index = self.expression(0)
            self.expect("]")
            node = _item(node, index)
        return node

    def _primary(self) -> Node:
        token = self.token
        if self.accept("("):
            node = self.expression(0)
            self.expect(")")
            return node
        if self.accept("["):
            items = self._list("]")
            return lambda variables: [item(variables) for item in items]
        if token.kind == "number":
            self.at += 1
            text = token.text.replace("_", "")
            return _Constant(int(text) if text.isdigit() else float(text))
        if token.kind == "string":
            self.at += 1
            return _Constant(_unquoted(token.text))
        if token.kind == "name" and token.text not in _WORDS:
            self.at += 1
            return self._name(token)
        raise self.error(f"a value is expected here, not {self._shown()}")

    def _name(self, token: _Token) -> Node:
        name = token.text
        if name in {"true", "false", "nil"}:
            return _Constant({"true": True, "false": False, "nil": None}[name])
        if not self.accept("("):
            return lambda variables: variables.get(name)
        function = _FUNCTIONS.get(name)
        if function is None:
            hint = f"there are: {', '.join(_FUNCTIONS)}"
            raise ExpressionError(f'there is no function "{name}"', token.start, token.end, hint)
        arguments = self._list(")")
        return lambda variables: function(*(argument(variables) for argument in arguments))

    def _list(self, end: str) -> list[Node]:
        items: list[Node] = []
        while not self.accept(end):
            if items:
                self.expect(",")
                if self.accept(end):
                    break
            items.append(self.expression(0))
        return items


class _Constant:
    """A literal."""

    constant = True

    def __init__(self, value: Value) -> None:
        self.value = value

    def __call__(self, variables: Mapping[str, str]) -> Value:  # noqa: ARG002  (it needs none)
        return self.value


def _negation(node: Node) -> Node:
    return lambda variables: not _truth(node(variables))


def _choice(condition: Node, then: Node, otherwise: Node) -> Node:
    return lambda variables: then(variables) if _truth(condition(variables)) else otherwise(variables)


def _item(node: Node, index: Node) -> Node:
    return lambda variables: node(variables)[index(variables)]


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{_shown(value)} is neither true nor false")
    return value


def _string(value: Value) -> str:
    """A string; a variable that is not set is an empty one here, so that `CI_COMMIT_TAG contains "x"` can be asked."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} is no string")
    return value


def _shown(value: Value) -> str:
    return "nil" if value is None else repr(value)


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text[1:-1], flags=re.DOTALL)


def _pattern(pattern: str, start: int, end: int) -> re.Pattern[str]:
    if _NESTED.search(pattern):
        raise ExpressionError("a repetition of a repetition can take for ever", start, end, "write the pattern simpler")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ExpressionError(f"this is not a pattern: {error}", start, end) from None


_CALCULATE: dict[str, Callable[[Value, Value], Value]] = {
    "==": lambda left, right: (type(left) is type(right) and left == right) or _equal_numbers(left, right),
    "!=": lambda left, right: not _CALCULATE["=="](left, right),
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
    "in": lambda left, right: left in right,
    "contains": lambda left, right: _string(right) in _string(left),
    "startsWith": lambda left, right: _string(left).startswith(_string(right)),
    "endsWith": lambda left, right: _string(left).endswith(_string(right)),
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: _number(left) * _number(right),
    "/": lambda left, right: _number(left) / _number(right),
    "%": lambda left, right: _number(left) % _number(right),
}


def _number(value: Value) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_shown(value)} is no number")
    return value


def _equal_numbers(left: Value, right: Value) -> bool:
    return {type(left), type(right)} == {int, float} and left == right


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "len": len,
    "int": int,
    "float": float,
    "string": lambda value: "nil" if value is None else str(value),
    "lower": lambda value: _string(value).lower(),
    "upper": lambda value: _string(value).upper(),
    "trim": lambda value, characters=None: _string(value).strip(characters),
    "trimPrefix": lambda value, prefix: _string(value).removeprefix(prefix),
    "trimSuffix": lambda value, suffix: _string(value).removesuffix(suffix),
    "split": lambda value, separator: _string(value).split(separator),
    "join": lambda values, separator="": separator.join(values),
    "replace": lambda value, old, new: _string(value).replace(old, new),
    "indexOf": lambda value, part: _string(value).find(part),
    "hasPrefix": lambda value, prefix: _string(value).startswith(prefix),
    "hasSuffix": lambda value, suffix: _string(value).endswith(suffix),
}
