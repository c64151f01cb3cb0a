"""Which variables an instruction sees: global arguments, the stage's arguments, the image's environment. Pure.

Source: docker's Dockerfile reference, "ARG" and "Understand how ARG and FROM interact". An argument has the value of
`--build-arg`, else its default, else that of the global argument of its name; `ENV` always wins over `ARG`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.dockerfile.expansion import Expander
    from sandbox.dockerfile.instructions import Arg
    from sandbox.image.platform import Platform

# Given to RUN when `--build-arg` has them, without ARG; never part of a cache key or of the history.
PROXY_ARGS = frozenset(
    name
    for base in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (base, base.upper())
)


def platform_args(build: Platform, target: Platform) -> dict[str, str]:
    """The arguments that every global scope has."""
    return {
        f"{kind}{part}": value
        for kind, platform in (("BUILD", build), ("TARGET", target))
        for part, value in (
            ("PLATFORM", str(platform)),
            ("OS", platform.os),
            ("ARCH", platform.architecture),
            ("VARIANT", platform.variant),
        )
    }


def global_scope(
    instruction: Arg, build_args: Mapping[str, str], before: Mapping[str, str], expander: Expander
) -> dict[str, str]:
    """The values that FROM and later global arguments see after a global ARG; `before` begins with the platforms'."""
    values = dict(before)
    for name, default in instruction.definitions:
        if name in build_args:
            values[name] = build_args[name]
        elif default is not None:
            values[name] = expander.word(default, values)
    return values


class StageScope:
    """The variables of one stage as its instructions go by."""

    def __init__(
        self, build_args: Mapping[str, str], global_values: Mapping[str, str], inherited: Mapping[str, str]
    ) -> None:
        self._build_args = build_args
        self._global = global_values
        self.args: dict[str, str] = dict(inherited)  # with a value; what a RUN gets

    def declare(self, instruction: Arg, environment: Mapping[str, str], expander: Expander) -> None:
        """Take up an ARG of the stage."""
        for name, default in instruction.definitions:
            if name in self._build_args:
                self.args[name] = self._build_args[name]
            elif default is not None:
                self.args[name] = expander.word(default, self.variables(environment))
            elif name in self._global:
                self.args[name] = self._global[name]

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What words may name."""
        return {**self.args, **environment}

    def proxies(self) -> dict[str, str]:
        """Proxy arguments that nobody declared."""
        return {name: value for name, value in self._build_args.items() if name in PROXY_ARGS and name not in self.args}
