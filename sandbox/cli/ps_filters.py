"""The filters of `sandbox ps`, as docker has them: of one key any value has to fit, of different keys all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli import values
from sandbox.cli.options import UsageError
from sandbox.errors import NotFoundError
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        if (key not in _FILTERS and key not in ("before", "since")) or not equals:
            raise UsageError(
                f"--filter {text!r} is unknown",
                hint=f"one of: {', '.join(f'{name}=…' for name in (*_FILTERS, 'before', 'since'))}",
            )
        if key == "status" and value not in _STATUSES:
            raise UsageError(f"--filter {text!r}: no such status", hint=f"one of: {', '.join(_STATUSES)}")
        if key == "exited" and not value.isdecimal():
            raise UsageError(f"--filter {text!r}: {value!r} is not an exit code")
        found.setdefault(key, []).append(value)
    return found


def want_all(wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether a filter is about containers that need not run."""
    return any(key in wanted for key in _NEEDS_ALL)


def select(listed: Sequence[Listed], wanted: Mapping[str, Sequence[str]]) -> list[Listed]:
    """Those that fit; `listed` has the youngest first."""
    kept = [one for one in listed if all(_fits(one, key, those) for key, those in wanted.items() if key in _FILTERS)]
    for name in wanted.get("before", ()):
        kept = [one for one in kept if one[0].created < _named(listed, name).created]
    for name in wanted.get("since", ()):
        kept = [one for one in kept if one[0].created > _named(listed, name).created]
    return kept


def _fits(one: Listed, key: str, those: Sequence[str]) -> bool:
    return (all if key == "label" else any)(_FILTERS[key](one, value) for value in those)


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
    "id": lambda one, value: one[0].id.startswith(value),
    "name": lambda one, value: value.removeprefix("/") in one[0].name,
    "label": lambda one, value: values.has_label(one[0].spec.labels, value),
    "status": lambda one, value: word(one[1]) == value,
    "exited": lambda one, value: one[1].status is Status.EXITED and one[1].exit_code == int(value),
    "ancestor": lambda one, value: (
        one[0].spec.image.removesuffix(":latest") == value.removesuffix(":latest")
        or one[0].image_id.removeprefix("sha256:").startswith(value.removeprefix("sha256:"))
    ),
    "health": lambda one, value: (one[1].health["Status"] if one[1].health else "none") == value,
    "volume": lambda one, value: any(value in (mount.source, mount.target) for mount in one[0].spec.mounts),
    "network": lambda one, value: value in networks(*one),
}
