"""The steps of a job → steps of ours, in their order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ci.pipeline.github.actions import Actions
from ci.pipeline.github.expressions import UnsupportedError, condition
from ci.pipeline.github.triggers import entries
from ci.pipeline.nodes import Mapping, Scalar
from ci.pipeline.script import runs_scripts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map

    from ci.pipeline.github.texts import Texts
    from ci.pipeline.nodes import Node

_KEYS = ("name", "id", "if", "run", "uses", "with", "env", "shell", "working-directory", "timeout-minutes")


class Steps:
    """Converts the steps of one job."""

    def __init__(self, texts: Texts, defaults: Map[str, Node], *, own_image: bool) -> None:
        self._texts = texts
        self._defaults = defaults
        self._actions = Actions(texts, own_image=own_image)
        self._own_image = own_image
        self._names: set[str] = set()
        self.converted: list[dict[str, Any]] = []

    def take(self, items: Iterable[Node]) -> None:
        """All steps, one after the other: what an action does reaches those beside it."""
        for number, item in enumerate(items, 1):
            if isinstance(item, Mapping):
                self._step(item, number)

    def _step(self, step: Mapping, number: int) -> None:
        given = entries(step)
        note = self._texts.note
        for entry in step.entries:
            if entry.key.value not in {*_KEYS, "continue-on-error"}:
                note(entry.key.position, f"{entry.key.value} of a step is not taken over")
        run, uses = given.get("run"), given.get("uses")
        if isinstance(uses, Scalar):
            before = self.converted[-1] if self.converted else None
            if self._actions.take(uses, step, before):
                return
            if not uses.value.startswith("docker://"):
                note(uses.position, f"there is nothing in place of {uses.value}")
                return
        elif not isinstance(run, Scalar):
            note(step.position, "a step without run and uses is not taken over")
            return
        self._texts.added = {}
        name = self._name(given, number)
        found: dict[str, Any] = {"name": name}
        if isinstance(uses, Scalar):
            found |= self._of_image(uses, given)
        elif isinstance(run, Scalar):
            found |= self._of_script(run, given)
        found |= self._rest(given)
        environment = self._environment(given.get("env")) | self._texts.added
        if environment:
            found["environment"] = environment
        if isinstance(identity := given.get("id"), Scalar):
            self._texts.outputs[identity.value] = name
        self.converted.append(found)

    def _of_script(self, run: Scalar, given: Map[str, Node]) -> dict[str, Any]:
        found: dict[str, Any] = {"image": self._actions.image} if self._actions.image else {}
        written = given.get("shell") or self._defaults.get("shell")
        shell = written.value.split()[0] if isinstance(written, Scalar) and written.value.strip() else ""
        if shell and not runs_scripts(shell):
            self._texts.note(run.position, f"the shell {shell} is not taken over")
            shell = ""
        # GitHub runs scripts by bash; in a container of one's own by sh, where there is no bash.
        if shell := shell or ("" if self._own_image else "bash"):
            found["shell"] = shell
        directory = given.get("working-directory") or self._defaults.get("working-directory")
        if isinstance(directory, Scalar):
            found["directory"] = self._texts.value(directory)
        found["commands"] = [self._texts.command(run).rstrip("\n")]
        if self._actions.cache:
            found["cache"], self._actions.cache = self._actions.cache, []
        return found

    def _of_image(self, uses: Scalar, given: Map[str, Node]) -> dict[str, Any]:
        """`docker://image`, with its arguments."""
        found: dict[str, Any] = {"image": uses.value.removeprefix("docker://")}
        inputs = entries(given.get("with"))
        if isinstance(entrypoint := inputs.get("entrypoint"), Scalar):
            arguments = inputs.get("args")
            more = str(self._texts.value(arguments)).split() if isinstance(arguments, Scalar) else []
            return found | {"entrypoint": [str(self._texts.value(entrypoint)), *more]}
        if "args" in inputs:
            self._texts.note(uses.position, "args of an image need its entrypoint before them")
        return found

    def _rest(self, given: Map[str, Node]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if isinstance(minutes := given.get("timeout-minutes"), Scalar):
            found["timeout"] = f"{self._texts.value(minutes)}m"
        if isinstance(goes_on := given.get("continue-on-error"), Scalar) and goes_on.value != "false":
            if goes_on.value == "true":
                found["failure"] = "ignore"
            else:
                self._texts.note(goes_on.position, f"continue-on-error: {goes_on.value} is not taken over")
        if isinstance(written := given.get("if"), Scalar) and (when := self.when(written)):
            found["when"] = when
        return found

    def when(self, written: Scalar) -> dict[str, Any]:
        """An `if`."""
        try:
            evaluate, status = condition(written.value, self._texts.matrix)
        except UnsupportedError as error:
            self._texts.note(written.position, f"if: {written.value}: {error} is not taken over")
            return {}
        found: dict[str, Any] = {"evaluate": evaluate} if evaluate else {}
        return found | ({"status": status[0] if len(status) == 1 else list(status)} if status else {})

    def _environment(self, node: Node | None) -> dict[str, Any]:
        return {name: self._texts.value(value) for name, value in entries(node).items() if isinstance(value, Scalar)}

    def _name(self, given: Map[str, Node], number: int) -> str:
        """A name that is allowed here, and that no other step has."""
        written = next(
            (node.value for key in ("name", "id") if isinstance(node := given.get(key), Scalar)), f"step-{number}"
        )
        name = step_name(re.sub(r"\$\{\{.*?\}\}", "", written)) or f"step-{number}"
        same = (f"{name[:58]}-{count}" for count in range(2, 10_000))
        while name in self._names:
            name = next(same)
        self._names.add(name)
        return name


def step_name(text: str) -> str:
    """The text as a name of ours; empty where nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:63].strip("-._")
