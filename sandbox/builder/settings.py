"""Instructions that change an image's configuration and no file. Pure.

Variables are replaced here, with the scope that the solver keeps. Source: docker's Dockerfile reference; OCI
image-spec config.md.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from sandbox.dockerfile import instructions as records
from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.ports import PortError, expose
from sandbox.image.config import Healthcheck, ImageConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.builder.scope import Expander
    from sandbox.dockerfile.instructions import Command, Instruction

DEFAULT_SHELL = ("/bin/sh", "-c")


def apply(
    config: ImageConfig, instruction: Instruction, expander: Expander, variables: Mapping[str, str]
) -> ImageConfig:
    """The configuration after an instruction; the same after one that has nothing to do with it."""
    change = _CHANGES.get(type(instruction))
    return change(config, instruction, lambda text: expander.word(text, variables)) if change else config


def in_shell(config: ImageConfig, command: Command) -> tuple[str, ...]:
    """A command's words; a text for the shell follows the image's."""
    return (*(config.shell or DEFAULT_SHELL), *command.words) if command.in_shell else command.words


def absolute(config: ImageConfig, path: str) -> str:
    """A path seen from the working directory, clean, without a slash at its end."""
    joined = posixpath.normpath(posixpath.join("/", config.working_dir, path))
    return "/" + joined.lstrip("/")  # POSIX leaves two slashes alone


def ports(instruction: records.Expose, expander: Expander, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Every port of an EXPOSE as `80/tcp`."""
    found: list[str] = []
    for text in instruction.ports:
        for word in expander.words(text, variables):
            try:
                found += expose(word)
            except PortError as error:
                raise Mistake("port", str(error)) from None
    return tuple(dict.fromkeys(found))


def _env(config: ImageConfig, instruction: records.Env, expand: Callable[[str], str]) -> ImageConfig:
    pairs = {expand(name): expand(value) for name, value in instruction.pairs}
    return config._replace(environment={**config.environment, **pairs})


def _label(config: ImageConfig, instruction: records.Label, expand: Callable[[str], str]) -> ImageConfig:
    pairs = {expand(name): expand(value) for name, value in instruction.pairs}
    return config._replace(labels={**config.labels, **pairs})


def _cmd(config: ImageConfig, instruction: records.Cmd, _: Callable[[str], str]) -> ImageConfig:
    return config._replace(command=in_shell(config, instruction.command))


def _entrypoint(config: ImageConfig, instruction: records.Entrypoint, _: Callable[[str], str]) -> ImageConfig:
    return config._replace(entrypoint=in_shell(config, instruction.command))


def _shell(config: ImageConfig, instruction: records.Shell, _: Callable[[str], str]) -> ImageConfig:
    return config._replace(shell=instruction.words)


def _user(config: ImageConfig, instruction: records.User, expand: Callable[[str], str]) -> ImageConfig:
    return config._replace(user=expand(instruction.user))


def _workdir(config: ImageConfig, instruction: records.Workdir, expand: Callable[[str], str]) -> ImageConfig:
    path = expand(instruction.path)
    if not path:
        raise Mistake("workdir", "the path of WORKDIR is empty")
    return config._replace(working_dir=absolute(config, path))


def _volume(config: ImageConfig, instruction: records.Volume, expand: Callable[[str], str]) -> ImageConfig:
    paths = tuple(expand(path) for path in instruction.paths)
    return config._replace(volumes=tuple(dict.fromkeys((*config.volumes, *paths))))


def _stop_signal(config: ImageConfig, instruction: records.StopSignal, expand: Callable[[str], str]) -> ImageConfig:
    return config._replace(stop_signal=expand(instruction.signal))


def _on_build(config: ImageConfig, instruction: records.OnBuild, _: Callable[[str], str]) -> ImageConfig:
    return config._replace(on_build=(*config.on_build, instruction.trigger))


def _healthcheck(config: ImageConfig, instruction: records.Healthcheck, _: Callable[[str], str]) -> ImageConfig:
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
