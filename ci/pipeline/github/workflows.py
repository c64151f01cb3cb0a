"""A workflow → documents of ours: a job is a document, `on` its `when`, `needs` its `depends_on`."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci.pipeline.convert import Converted
from ci.pipeline.github.expressions import EXPRESSION, normalized
from ci.pipeline.github.matrices import matrix
from ci.pipeline.github.steps import Steps, step_name
from ci.pipeline.github.texts import Texts
from ci.pipeline.github.triggers import entries, texts, triggers
from ci.pipeline.nodes import Mapping, Scalar, Sequence
from ci.pipeline.writing import write

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Position

# The images nearest to GitHub's runners.
_RUNNERS = {
    "ubuntu-latest": "ubuntu:24.04",
    "ubuntu-24.04": "ubuntu:24.04",
    "ubuntu-22.04": "ubuntu:22.04",
    "ubuntu-20.04": "ubuntu:20.04",
}
_WORKFLOW_KEYS = ("name", "run-name", "on", "env", "defaults", "jobs", "permissions")
_JOB_KEYS = (
    *("name", "needs", "runs-on", "container", "env", "defaults", "steps", "services", "strategy", "if"),
    *("timeout-minutes", "permissions", "outputs"),
)


def convert(node: Mapping) -> Converted:
    """The whole workflow as a file of our dialect, and what a person has to look at."""
    converter = _Workflow(node)
    found = [write(document) for document in converter.documents()]
    return Converted(text="---\n".join(found), notes=tuple(sorted(converter.notes)))


@dataclass(slots=True)
class _Workflow:
    """One workflow, being converted."""

    node: Mapping
    notes: set[tuple[int, str]] = field(default_factory=set)
    outputs: dict[str, str] = field(default_factory=dict)  # of the jobs so far, by `JOB.NAME`

    def note(self, position: Position, sentence: str) -> None:
        self.notes.add((position.line, sentence))

    def documents(self) -> list[dict[str, Any]]:
        """Those of the jobs that have anything to do here."""
        given = entries(self.node)
        for entry in self.node.entries:
            if entry.key.value not in _WORKFLOW_KEYS:
                self.note(entry.key.position, f"{entry.key.value} is not taken over")
        when = triggers(given["on"], self.note) if "on" in given else []
        found = {}
        for entry in _entries(given.get("jobs")):
            if isinstance(entry.value, Mapping) and (document := self._job(entry.key, entry.value, when)):
                found[entry.key.value] = document
        for name, document in found.items():
            document["depends_on"] = [step_name(one) for one in document["depends_on"] if one in found]
            if not document["depends_on"]:
                del found[name]["depends_on"]
        return list(found.values())

    def _job(self, key: Scalar, job: Mapping, when: list[dict[str, Any]]) -> dict[str, Any] | None:
        given = entries(job)
        if "uses" in given:
            self.note(
                key.position, f"{key.value}: a workflow that it uses is not taken over: write its steps as a template"
            )
            return None
        for entry in job.entries:
            if entry.key.value not in _JOB_KEYS:
                self.note(entry.key.position, f"{entry.key.value} of a job is not taken over")
        strategy = entries(given.get("strategy"))
        needs = {
            name: source for name, source in self.outputs.items() if name.split(".")[0] in texts(given.get("needs"))
        }
        others = Texts(self.note, {}, needs=needs)
        cells, names = matrix(strategy["matrix"], self.note, others.output) if "matrix" in strategy else ({}, {})
        workflow_env, job_env = entries(self.node).get("env"), given.get("env")
        plain = {
            name: value.value
            for name, value in (entries(workflow_env) | entries(job_env)).items()
            if isinstance(value, Scalar) and "${{" not in value.value
        }
        job_texts = Texts(self.note, names, plain, needs=needs)
        container = given.get("container")
        steps = Steps(job_texts, self._defaults(given), own_image=container is not None)
        listed = given.get("steps")
        steps.take(listed.items if isinstance(listed, Sequence) else ())
        if not steps.converted:
            self.note(key.position, f"{key.value}: none of its steps is anything here")
            return None
        if len(steps.converted) > 1:
            self.note(
                key.position, f"{key.value}: each step is a container, and only the workspace goes from one to the next"
            )
        if not cells:  # else there is one for each cell
            self._keep_outputs(key, given.get("outputs"), job_texts)
        minutes = given.get("timeout-minutes")
        services = self._services(given.get("services"), job_texts, inside=container is not None)
        found = {
            "name": step_name(key.value),
            "when": self._when(when, given.get("if"), steps),
            "depends_on": texts(given.get("needs")),
            "matrix": cells,
            "timeout": f"{minutes.value}m" if isinstance(minutes, Scalar) else "",
            **self._image(given, container, job_texts),
            "environment": {
                name: job_texts.value(value)
                for name, value in (entries(workflow_env) | entries(job_env) | self._container_env(container)).items()
                if isinstance(value, Scalar)
            },
            "services": services,
            "steps": steps.converted,
        }
        return {name: value for name, value in found.items() if value or name == "depends_on"}

    def _keep_outputs(self, key: Scalar, node: Node | None, job_texts: Texts) -> None:
        """What other jobs know by `needs.JOB.outputs.NAME`, where it is an output of a step and nothing else."""
        for name, value in entries(node).items():
            match = EXPRESSION.fullmatch(value.value.strip()) if isinstance(value, Scalar) else None
            source = job_texts.output(normalized(match[1].strip())) if match else None
            if source is not None:
                self.outputs[f"{key.value}.{name}"] = f"{step_name(key.value)}/{source}"

    def _when(self, when: list[dict[str, Any]], written: Node | None, steps: Steps) -> Any:
        own = steps.when(written) if isinstance(written, Scalar) else {}
        found = [one | own for one in when] or ([own] if own else [])
        return found[0] if len(found) == 1 else found

    def _defaults(self, given: Map[str, Node]) -> dict[str, Node]:
        of_workflow = entries(entries(entries(self.node).get("defaults")).get("run"))
        return of_workflow | entries(entries(given.get("defaults")).get("run"))

    def _image(self, given: Map[str, Node], container: Node | None, job_texts: Texts) -> dict[str, Any]:
        if isinstance(container, Scalar):
            return {"image": job_texts.value(container)}
        if isinstance(container, Mapping):
            for entry in container.entries:
                if entry.key.value not in {"image", "env"}:
                    self.note(entry.key.position, f"{entry.key.value} of the container is not taken over")
            image = entries(container).get("image")
            return {"image": job_texts.value(image)} if isinstance(image, Scalar) else {}
        runner = given.get("runs-on")
        labels = texts(runner)
        name = next((_RUNNERS[label] for label in labels if label in _RUNNERS), "")
        if not name:
            name = _RUNNERS["ubuntu-latest"]
            position = runner.position if runner else self.node.position
            self.note(position, f"runs-on {', '.join(labels) or 'nothing'}: the image is {name}, look whether it fits")
        return {"image": name}

    def _container_env(self, container: Node | None) -> dict[str, Node]:
        return entries(entries(container).get("env"))

    def _services(self, node: Node | None, job_texts: Texts, *, inside: bool) -> list[dict[str, Any]]:
        found = []
        for entry in _entries(node):
            given = entries(entry.value)
            name = re.sub(r"[^a-z0-9_-]+", "-", entry.key.value.lower()).strip("-_")
            service: dict[str, Any] = {"name": name}
            if isinstance(image := given.get("image"), Scalar):
                service["image"] = job_texts.value(image)
            environment = {
                key: job_texts.value(value)
                for key, value in entries(given.get("env")).items()
                if isinstance(value, Scalar)
            }
            ports = [text.rpartition(":")[2].partition("/")[0] for text in texts(given.get("ports"))]
            service |= {"environment": environment} if environment else {}
            service |= {"ports": ports} if ports else {}
            if isinstance(options := given.get("options"), Scalar):
                service |= self._options(options)
            for key in given:
                if key not in {"image", "env", "ports", "options"}:
                    self.note(entry.key.position, f"{key} of the service {name} is not taken over")
            if not inside:
                self.note(entry.key.position, f"the service {name} is reached by its name here, and not at localhost")
            found.append(service)
        return found

    def _options(self, options: Scalar) -> dict[str, Any]:
        """Options of docker: the health check."""
        try:
            words = shlex.split(options.value)
        except ValueError:
            words = []
        given: dict[str, str] = {}
        for word, after in zip(words, [*words[1:], ""], strict=True):
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                given[name] = value if equals else after
        names = {"--health-cmd": "command", "--health-interval": "interval", "--health-timeout": "timeout"}
        for name in given:
            if name not in {*names, "--health-retries", "--health-start-period"}:
                self.note(options.position, f"the option {name} is not taken over")
        check = {key: given[name] for name, key in names.items() if name in given}
        return {"healthcheck": check} if "command" in check else {}


def _entries(node: Node | None) -> Any:
    return node.entries if isinstance(node, Mapping) else ()
