"""Single values: the type behind the text, with the matrix's variables put in.

A value without `${…}` is checked as it is; one with matrix variables, for every cell; one with `CI_*` variables when
the event is known, by compile. A name that is neither is a mistake: nothing else would ever put a value there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import envsubst, substitution
from ci.pipeline.values import BadValue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.matrix import Cell
    from ci.pipeline.rules import Rules
    from ci.pipeline.source import Text


CHECKS_LIMIT = 50_000  # values × cells that are looked at; what is left, compile finds


class Values:
    """Checks the values of one document, in all cells of its matrix."""

    def __init__(self, report: Report, cells: Sequence[Cell], rules: Rules) -> None:
        self.report = report
        self.cells = cells
        self.rules = rules
        self._parameters = envsubst.parameters if rules.whole_file else substitution.parameters
        self._expand = envsubst.expand if rules.whole_file else substitution.expand
        self.budget = CHECKS_LIMIT
        self.later: frozenset[str] | None = frozenset()  # names that are known when a build runs; None: any may be
        self._known = dict.fromkeys(name for cell in cells for name in cell)

    def check(self, text: Text | None, read: Callable[[str], object] = str) -> str | None:
        """Check a value; returns it where it is the same in every cell and good."""
        if text is None:
            return None
        try:
            parameters = self._parameters(text.value)
        except substitution.SubstitutionError as error:
            part = text.part(error.start, error.end)
            hint = 'write "$${" for a "${" that is to stay'
            if not self.rules.whole_file:
                hint = f"only ${{NAME}} is replaced here; {hint}"
            self.report.error("bad-substitution", part.position, error.message, hint)
            return None
        names = [parameter.name for parameter in parameters if self._defined(text, parameter)]
        if len(names) < len(parameters):
            return None
        if not names:
            value = self._expand(text.value, lambda _: None)
            return value if self._good(text, value, read) else None
        if read is not str and not any(name in self.rules.variables or self._is_later(name) for name in names):
            self._check_cells(text, names, read)
        return None

    def plain(self, text: Text | None, read: Callable[[str], object]) -> bool:
        """Check a name: nothing is replaced in it, but where all of a file is text."""
        if text is not None and self.rules.whole_file and "$" in text.value:
            self.check(text)
            return True
        return text is not None and self._good(text, text.value, read)

    def _check_cells(self, text: Text, names: Sequence[str], read: Callable[[str], object]) -> None:
        seen: set[tuple[str, ...]] = set()
        for cell in self.cells:
            key = tuple(cell.get(name, "") for name in names)
            if key in seen or not all(name in cell for name in names):
                continue
            seen.add(key)
            self.budget -= 1
            if self.budget < 0:
                return
            given = ", ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))
            if not self._good(text, self._expand(text.value, cell.get), read, f" (with {given})"):
                return

    def _good(self, text: Text, value: str, read: Callable[[str], object], given: str = "") -> bool:
        try:
            read(value)
        except BadValue as error:
            self.report.error(error.code, text.position, error.message + given, error.hint)
            return False
        return True

    def _is_later(self, name: str) -> bool:
        return self.later is None or name in self.later

    def _defined(self, text: Text, parameter: substitution.Parameter | envsubst.Parameter) -> bool:
        name = parameter.name
        if name in self.rules.variables or self.report.full or self._is_later(name):
            return True
        if isinstance(parameter, envsubst.Parameter):
            if name not in self._known and not parameter.has_default:
                self._has_no_value(text, parameter)
            return True
        without = next((cell for cell in self.cells if name not in cell), None)
        if without is None:
            return True
        position = text.part(parameter.start, parameter.end).position
        if name in self._known:
            given = ", ".join(f"{key}={value}" for key, value in without.items())
            message, hint = f'"{name}" has no value in the matrix cell {given}', 'name it in every entry of "include"'
        else:
            message = f'"{name}" is neither a variable of the matrix nor a CI_* variable'
            meant = self.report.suggester.closest(name, (*self._known, *sorted(self.rules.variables)))
            hint = f'did you mean "${{{meant}}}"?' if meant else f'write "$${{{name}}}" for the characters themselves'
        self.report.error("undefined-variable", position, message, hint)
        return False

    def _has_no_value(self, text: Text, parameter: envsubst.Parameter) -> None:
        """A mistake most often, but one that those systems make nothing of: a variable of the shell, not escaped."""
        name = parameter.name
        meant = self.report.suggester.closest(name, (*self._known, *sorted(self.rules.variables)))
        hint = f'did you mean "${{{meant}}}"?' if meant else f'write "$${{{name}}}" for a variable of the shell'
        message = f'"{name}" has no value when the file is read, so this is empty'
        position = text.part(parameter.start, parameter.end).position
        self.report.warning("undefined-variable", position, message, hint)
