"""The filters of `sandbox ps`, as docker has them: of one key any value has to fit, of different keys all. Pure.

Source: docker's manual, "docker container ls", and moby's daemon/list.go: names and ids fit as regular expressions, a
container that publishes one of the ports or exposes another fits.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.cli import publish, values
from sandbox.cli.options import UsageError
from sandbox.errors import NotFoundError
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.state import State

Listed = tuple["ContainerConfig", "State"]
_STATUSES = ("created", "running", "paused", "restarting", "exited", "dead", "removing")
_NEEDS_ALL = ("exited", "status", "before", "since")  # of these docker shows also what does not run


def parse(texts: Sequence[str]) -> dict[str, list[str]]:
    """`KEY=VALUE` by key. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in _KEYS or not equals:
            raise UsageError(
                f"--filter {text!r} is unknown", hint=f"one of: {', '.join(f'{name}=…' for name in _KEYS)}"
            )
        if key == "status" and value not in _STATUSES:
            raise UsageError(f"--filter {text!r}: no such status", hint=f"one of: {', '.join(_STATUSES)}")
        if key == "exited" and not value.isdecimal():
            raise UsageError(f"--filter {text!r}: {value!r} is not an exit code")
        if key in ("publish", "expose"):
            publish.expose(value, "--filter")
        found.setdefault(key, []).append(value)
    return found


def want_all(wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether a filter is about containers that need not run."""
    return any(key in wanted for key in _NEEDS_ALL)


def select(
    listed: Sequence[Listed],
    wanted: Mapping[str, Sequence[str]],
    descendants: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> list[Listed]:
    """Those that fit; `listed` has the youngest first. `descendants` has for each wanted ancestor the ids of the images
    that were made from it.
    """
    kept = [one for one in listed if all(_fits(one, key, those) for key, those in wanted.items() if key in _FILTERS)]
    if "ancestor" in wanted:
        kept = [one for one in kept if any(_from(one[0], name, descendants) for name in wanted["ancestor"])]
    if "publish" in wanted or "expose" in wanted:
        kept = [one for one in kept if _has_port(one, wanted)]
    for name in wanted.get("before", ()):
        kept = [one for one in kept if one[0].created < _named(listed, name).created]
    for name in wanted.get("since", ()):
        kept = [one for one in kept if one[0].created > _named(listed, name).created]
    return kept


def _fits(one: Listed, key: str, those: Sequence[str]) -> bool:
    return (all if key == "label" else any)(_FILTERS[key](one, value) for value in those)


def _from(config: ContainerConfig, name: str, descendants: Mapping[str, Collection[str]]) -> bool:
    """Whether it was made from the image, which may have lost its name since, or from one that was."""
    return (
        config.spec.image.removesuffix(":latest") == name.removesuffix(":latest")
        or config.image_id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
        or config.image_id in descendants.get(name, ())
    )


def _has_port(one: Listed, wanted: Mapping[str, Sequence[str]]) -> bool:
    config, state = one
    published = {f"{port.port}/{port.protocol}" for place in state.attachments for port in place.ports}
    exposed = {*config.spec.exposed, *(f"{port.container}/{port.protocol}" for port in config.spec.ports)}
    return any(
        not present.isdisjoint(publish.expose(text, "--filter"))
        for key, present in (("publish", published), ("expose", exposed))
        for text in wanted.get(key, ())
    )


def _named(listed: Sequence[Listed], name: str) -> ContainerConfig:
    for config, _ in listed:
        if config.name == name or config.id.startswith(name):
            return config
    raise NotFoundError(f"no such container: {name}", hint="`sandbox ps -a` lists them", reference="no-such-container")


def networks(config: ContainerConfig, state: State) -> list[str]:
    """The networks that it is in; the ones that it will be in, where it does not run."""
    found = [one.network for one in state.attachments]
    return found or [config.spec.network, *(one.network for one in config.spec.endpoints)]


def word(state: State) -> str:
    """Docker's word for a state."""
    if state.status is Status.RUNNING and (state.paused or state.restarting):
        return "paused" if state.paused else "restarting"
    return str(state.status)


_FILTERS: Mapping[str, Callable[[Listed, str], bool]] = {
    "id": lambda one, value: values.fits(one[0].id, value),
    "name": lambda one, value: values.fits(one[0].name, value) or values.fits(f"/{one[0].name}", value),
    "label": lambda one, value: values.has_label(one[0].spec.labels, value),
    "status": lambda one, value: word(one[1]) == value,
    "exited": lambda one, value: one[1].status is Status.EXITED and one[1].exit_code == int(value),
    "health": lambda one, value: (one[1].health["Status"] if one[1].health else "none") == value,
    "volume": lambda one, value: any(value in (mount.source, mount.target) for mount in one[0].spec.mounts),
    "network": lambda one, value: value in networks(*one),
    "is-task": lambda _, value: value in ("false", "0"),  # of a swarm
    "isolation": lambda _, value: value == "default",  # Windows has others
}
_KEYS = (*_FILTERS, "ancestor", "publish", "expose", "before", "since")
