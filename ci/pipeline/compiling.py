"""What few steps have → the fields of a StepSpec: our own dialect's additions, secrets inside of settings.

Pure; called by `compile`.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ci.pipeline import graph, values
from ci.pipeline.cachekey import template as key_template
from ci.pipeline.nodes import Mapping, Scalar, Sequence
from ci.pipeline.settings import as_json, is_secret, quoted
from ci.pipeline.spec import Build, Cache, Health, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci.pipeline.document import BuildUse, CacheUse, Step
    from ci.pipeline.nodes import Node
    from ci.pipeline.source import Text
    from ci.pipeline.spec import StepSpec

    T = TypeVar("T")


class Value(Protocol):
    """How texts become values."""

    def __call__(self, text: Text, read: Callable[[str], T], /) -> T:
        """The text, with the variables' values in it, as what it must be; raises CompileError."""


def additions(step: Step, value: Value) -> dict[str, Any]:
    """The fields by name; those that the step does not use are left out."""
    fields: dict[str, Any] = {}
    if step.wait is not None:
        fields["wait"] = value(step.wait, values.duration)
    if step.reports:
        fields["reports"] = tuple(value(text, values.artifact) for text in step.reports)
    if step.build is not None:
        fields["build"] = _build(step.build, step, value)
    if step.caches:
        fields["caches"] = tuple(_cache(cache, step, value) for cache in step.caches)
    if step.healthcheck is not None:
        fields["healthcheck"] = Health(
            command=tuple(value(text, str) for text in step.healthcheck.command),
            shell=step.healthcheck.shell,
            **{
                name: value(text, values.duration)
                for name, text in (("interval", step.healthcheck.interval), ("timeout", step.healthcheck.timeout))
                if text is not None
            },
        )
    return fields


def pieces(node: Node) -> tuple[Piece, ...]:
    """A setting with secrets inside of it, as JSON in parts: what is between the secrets, and they."""
    found: list[Piece] = []
    for piece in _pieces(node):
        if found and not piece.secret and not found[-1].secret:
            found[-1] = Piece(found[-1].text + piece.text)
        else:
            found.append(piece)
    return tuple(found)


def _pieces(node: Node) -> Iterator[Piece]:
    if is_secret(node) and isinstance(node, Mapping):
        name = next(entry.value for entry in node.entries if entry.key.value == "from_secret")
        yield Piece(secret=name.value if isinstance(name, Scalar) else "")
    elif isinstance(node, Mapping):
        for number, entry in enumerate(node.entries):
            yield Piece(f"{',' if number else '{'}{quoted(entry.key.value)}:")
            yield from _pieces(entry.value)
        yield Piece("}" if node.entries else "{}")
    elif isinstance(node, Sequence):
        for number, item in enumerate(node.items):
            yield Piece("," if number else "[")
            yield from _pieces(item)
        yield Piece("]" if node.items else "[]")
    else:
        yield Piece(as_json(node))


def name_images(steps: tuple[StepSpec, ...]) -> tuple[StepSpec, ...]:
    """The steps of a Stage, and who builds the images that they name: a step that each one waits for."""
    makers = {tag: step.name for step in steps if step.build for tag in step.build.tags}
    if not makers:
        return steps
    before = graph.ancestors({step.name: step.depends_on for step in steps})
    return tuple(
        replace(step, built_by=makers[step.image])
        if step.image in makers and makers[step.image] in before[step.name]
        else step
        for step in steps
    )


def _build(build: BuildUse, step: Step, value: Value) -> Build:
    context = value(build.context, values.workspace_path) if build.context else "."
    dockerfile = posixpath.normpath(posixpath.join(context, "Dockerfile"))
    return Build(
        context=context,
        dockerfile=value(build.dockerfile, values.workspace_path) if build.dockerfile else dockerfile,
        target=value(build.target, str) if build.target else "",
        args={arg.name.value: value(arg.value, str) for arg in build.args},
        tags=tuple(value(text, values.image) for text in build.tags) or (step.name.value.lower(),),
    )


def _cache(cache: CacheUse, step: Step, value: Value) -> Cache:
    return Cache(
        paths=tuple(value(text, values.cached_path) for text in cache.paths),
        key=step.name.value if cache.key is None else value(cache.key, key_template),
        fallback=tuple(value(text, key_template) for text in cache.fallback),
    )
