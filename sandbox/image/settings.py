"""Instructions that change an image's configuration and no file. Pure.

Called by `changes` and by the builder, which say what variables stand for. Source: docker's Dockerfile reference; OCI
image-spec config.md.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.ports import PortError, expose
from sandbox.image.config import Healthcheck, ImageConfig
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.dockerfile.expansion import Expander
    from sandbox.dockerfile.instructions import Command, Instruction

DEFAULT_SHELL = ("/bin/sh", "-c")


class _Known(NamedTuple):
    """What variables in words are replaced by."""

    expander: Expander
    variables: Mapping[str, str]

    def word(self, text: str) -> str:
        return self.expander.word(text, self.variables)

    def words(self, text: str) -> tuple[str, ...]:
        return self.expander.words(text, self.variables)


def apply(
    config: ImageConfig,
    instruction: Instruction,
    expander: Expander,
    variables: Mapping[str, str],
    *,
    command_set: bool = False,
) -> ImageConfig:
    """The configuration after an instruction; the same after one that has nothing to do with it.

    `command_set`: a CMD stood before it. Without, an ENTRYPOINT drops the base's arguments, which were for another.
    Raises Mistake.
    """
    change = _CHANGES.get(type(instruction))
    if change is None:
        return config
    if isinstance(instruction, records.Entrypoint) and not command_set:
        config = config._replace(command=())
    return change(config, instruction, _Known(expander, variables))


def in_shell(config: ImageConfig, command: Command) -> tuple[str, ...]:
    """A command's words; a text for the shell follows the image's."""
    return (*(config.shell or DEFAULT_SHELL), *command.words) if command.in_shell else command.words


def absolute(config: ImageConfig, path: str) -> str:
    """A path seen from the working directory, clean, without a slash at its end."""
    joined = posixpath.normpath(posixpath.join("/", config.working_dir, path))
    return "/" + joined.lstrip("/")  # POSIX leaves two slashes alone


def _expose(config: ImageConfig, instruction: records.Expose, known: _Known) -> ImageConfig:
    found: list[str] = []
    for word in (word for text in instruction.ports for word in known.words(text)):
        try:
            found += expose(word)
        except PortError as error:
            raise Mistake("port", str(error)) from None
    return config._replace(exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *found))))


def _env(config: ImageConfig, instruction: records.Env, known: _Known) -> ImageConfig:
    pairs = {known.word(name): known.word(value) for name, value in instruction.pairs}
    return config._replace(environment={**config.environment, **pairs})


def _label(config: ImageConfig, instruction: records.Label, known: _Known) -> ImageConfig:
    pairs = {known.word(name): known.word(value) for name, value in instruction.pairs}
    return config._replace(labels={**config.labels, **pairs})


def _cmd(config: ImageConfig, instruction: records.Cmd, _: _Known) -> ImageConfig:
    return config._replace(command=in_shell(config, instruction.command))


def _entrypoint(config: ImageConfig, instruction: records.Entrypoint, _: _Known) -> ImageConfig:
    return config._replace(entrypoint=in_shell(config, instruction.command))


def _shell(config: ImageConfig, instruction: records.Shell, _: _Known) -> ImageConfig:
    return config._replace(shell=instruction.words)


def _user(config: ImageConfig, instruction: records.User, known: _Known) -> ImageConfig:
    return config._replace(user=known.word(instruction.user))


def _workdir(config: ImageConfig, instruction: records.Workdir, known: _Known) -> ImageConfig:
    path = known.word(instruction.path)
    if not path:
        raise Mistake("workdir", "the path of WORKDIR is empty")
    return config._replace(working_dir=absolute(config, path))


def _volume(config: ImageConfig, instruction: records.Volume, known: _Known) -> ImageConfig:
    paths = tuple(known.word(path) for path in instruction.paths)
    return config._replace(volumes=tuple(dict.fromkeys((*config.volumes, *paths))))


def _stop_signal(config: ImageConfig, instruction: records.StopSignal, known: _Known) -> ImageConfig:
    return config._replace(stop_signal=known.word(instruction.signal))


def _on_build(config: ImageConfig, instruction: records.OnBuild, _: _Known) -> ImageConfig:
    return config._replace(on_build=(*config.on_build, instruction.trigger))


def _healthcheck(config: ImageConfig, instruction: records.Healthcheck, _: _Known) -> ImageConfig:
    command = instruction.command
    if command is None:
        return config._replace(healthcheck=Healthcheck(test=("NONE",)))
    check = Healthcheck(
        test=("CMD-SHELL" if command.in_shell else "CMD", *command.words),
        interval=instruction.interval,
        timeout=instruction.timeout,
        start_period=instruction.start_period,
        start_interval=instruction.start_interval,
        retries=instruction.retries,
    )
    return config._replace(healthcheck=check)


_CHANGES: Mapping[type[Instruction], Callable[..., ImageConfig]] = {
    records.Env: _env,
    records.Expose: _expose,
    records.Label: _label,
    records.Cmd: _cmd,
    records.Entrypoint: _entrypoint,
    records.Shell: _shell,
    records.User: _user,
    records.Workdir: _workdir,
    records.Volume: _volume,
    records.StopSignal: _stop_signal,
    records.OnBuild: _on_build,
    records.Healthcheck: _healthcheck,
}

NAMES = tuple(sorted(kind.__name__.upper() for kind in _CHANGES))  # of the instructions
