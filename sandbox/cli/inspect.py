"""`sandbox inspect`: everything about containers, images and networks, in docker's shapes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import say, tell
from sandbox.cli.session import open_engine
from sandbox.errors import InvalidError, NotFoundError, SandboxError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.engine import Engine

_TYPES = ("container", "image", "network", "volume")


def _inspect_image(arguments: Arguments, home: str) -> int:
    return _inspect(arguments, home, "image")


def _inspect(arguments: Arguments, home: str, kind: str = "") -> int:
    kind = kind or arguments.text("type")
    if kind and kind not in _TYPES:
        raise UsageError(f"--type {kind!r} is unknown", hint=f"one of: {', '.join(_TYPES)}")
    template = None
    if arguments.text("format", "json") != "json":
        from sandbox.cli.template import Template  # noqa: PLC0415  (brings regular expressions)

        template = Template(arguments.text("format"))
    engine = open_engine(home)
    found: list[dict[str, Any]] = []
    code = 0
    for name in arguments.operands:
        try:
            found.append(_describe(engine, name, (kind,) if kind else _TYPES, size=arguments.flag("size")))
        except SandboxError as error:
            tell(f"sandbox: {error}")
            code = code or error.exit_code
    if template is not None:
        say("".join(f"{template.render(item)}\n" for item in found))
    else:
        say(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    return code


def _describe(engine: Engine, name: str, kinds: tuple[str, ...], *, size: bool) -> dict[str, Any]:
    for kind in kinds:
        try:
            if kind == "container":
                return engine.inspect(name) | (_sizes(engine, name) if size else {})
            if kind == "image":
                from sandbox.image.description import describe as describe_image  # noqa: PLC0415  (only for images)

                return describe_image(engine.images, engine.images.get(name))
            if kind == "volume":
                from sandbox.cli.volume import describe as describe_volume  # noqa: PLC0415  (seldom)

                return describe_volume(engine.volumes.get(name))
            from sandbox.cli.network import describe  # noqa: PLC0415  (seldom)

            return describe(engine.networks.look_up(name), engine.containers())
        except (NotFoundError, InvalidError):
            if len(kinds) == 1:
                raise
    raise NotFoundError(
        f"no container, image, network or volume {name!r}",
        hint="`sandbox ps -a`, `sandbox images`, `sandbox network ls` and `sandbox volume ls` list them",
    )


def _sizes(engine: Engine, name: str) -> dict[str, int]:
    from sandbox.cli.ps import sizes  # noqa: PLC0415  (seldom)

    own, whole = sizes(engine, engine.config(name))
    return {"SizeRw": own, "SizeRootFs": whole}


VERBS = {
    "inspect": Verb(
        Syntax(
            "print everything about containers, images, networks or volumes, as JSON",
            "NAME...",
            (
                Option(("-f", "--format"), "a template such as '{{.State.Status}}' or '{{json .Config}}'", "FORMAT"),
                Option(("-s", "--size"), "of containers also how much they have written, and with their images"),
                Option(("--type",), "container, image, network or volume (the first that has the name)", "TYPE"),
            ),
        ),
        _inspect,
    ),
    "image inspect": Verb(
        Syntax(
            "print everything about images, as JSON",
            "IMAGE...",
            (Option(("-f", "--format"), "a template such as '{{.Id}}' or '{{json .Config}}'", "FORMAT"),),
        ),
        _inspect_image,
    ),
}
