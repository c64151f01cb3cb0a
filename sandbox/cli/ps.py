"""`sandbox ps`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sandbox.cli import ps_filters
from sandbox.cli.listing import FORMAT, QUIET, WHOLE, listing
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine, reclaim
from sandbox.cli.table import ago, duration, shortened
from sandbox.errors import NotFoundError, SandboxError
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.engine import Engine
    from sandbox.runtime.state import State

_HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Size": "SIZE",
}
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def _ps(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    reclaim(engine)
    wanted = ps_filters.parse(arguments.texts("filter"))
    last = 1 if arguments.flag("latest") else arguments.number("last", least=-1)
    everyone = arguments.flag("all") or last is not None or ps_filters.want_all(wanted)
    listed = engine.containers(all=everyone or "before" in wanted or "since" in wanted)  # may name one that has ended
    found = ps_filters.select(listed, wanted, {name: _descendants(engine, name) for name in wanted.get("ancestor", ())})
    if last is not None and last >= 0:
        found = found[:last]
    now = time.time()
    rows = [row(config, state, now, whole=arguments.flag("no-trunc")) for config, state in found]
    sizes = arguments.flag("size") or ".Size" in arguments.text("format")
    if sizes:
        for one, (config, _) in zip(rows, found, strict=True):
            one["Size"] = _size(engine, config)
    say(listing(rows, _HEADINGS, (*_COLUMNS, "Size") if sizes else _COLUMNS, arguments))
    return 0


def _descendants(engine: Engine, name: str) -> list[str]:
    """The ids of the images whose lowest layers are those of the image."""
    try:
        chain_id = engine.images.get(name).chain_id
    except SandboxError:
        return []
    return [image.id for image in engine.images.list() if any(layer.chain_id == chain_id for layer in image.layers)]


def _size(engine: Engine, config: ContainerConfig) -> str:
    """`1.2kB (virtual 4.27MB)`: what it has written, and that with its image."""
    from sandbox.cli.table import size  # noqa: PLC0415  (seldom)

    own, whole = sizes(engine, config)
    return f"{size(own)} (virtual {size(whole)})"


def sizes(engine: Engine, config: ContainerConfig) -> tuple[int, int]:
    """Bytes that a container has written, and these with its image."""
    from sandbox.cli.volume import used  # noqa: PLC0415  (seldom)

    own = used(engine.home / "containers" / config.id / "upper")
    try:
        return own, own + engine.images.get(config.image_id).size
    except NotFoundError:
        return own, own


def row(config: ContainerConfig, state: State, now: float, *, whole: bool) -> dict[str, str]:
    """One container in docker's fields."""
    command = " ".join(config.argv)
    return {
        "ID": config.id if whole else config.id[:12],
        "Image": config.spec.image,
        "Command": json.dumps(command if whole else shortened(command, 20), ensure_ascii=False),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(config.created)),
        "RunningFor": ago(config.created, now),
        "Status": status(state, now),
        "State": ps_filters.word(state),
        "Ports": _ports(config, state),
        "Names": config.name,
        "Networks": ",".join(ps_filters.networks(config, state)),
        "Labels": ",".join(f"{name}={value}" for name, value in config.spec.labels.items()),
        "Mounts": ",".join(mount.source or mount.target for mount in config.spec.mounts),
    }


def _ports(config: ContainerConfig, state: State) -> str:
    """`0.0.0.0:8080->80/tcp`; nothing is loaded for a container without."""
    published = [port for one in state.attachments for port in one.ports]
    if not published:
        return ", ".join(config.spec.exposed) if state.status is Status.RUNNING else ""
    from sandbox.cli.publish import summary  # noqa: PLC0415  (not for most lists)

    return summary(published)


def status(state: State, now: float) -> str:
    """`Up 3 minutes`, `Exited (0) 2 hours ago`, `Created`."""
    if state.status is Status.RUNNING:
        if state.restarting:
            return f"Restarting ({state.exit_code}) {ago(state.finished, now)}"
        up = f"Up {duration(max(0.0, now - state.started))}"
        if state.paused:
            return f"{up} (Paused)"
        if state.health is None:
            return up
        return f"{up} ({'health: ' if state.health['Status'] == 'starting' else ''}{state.health['Status']})"
    if state.status is Status.EXITED:
        return f"Exited ({state.exit_code}) {ago(state.finished, now)}"
    return "Created"


VERBS = {
    "ps": Verb(
        Syntax(
            "list containers",
            "",
            (
                Option(("-a", "--all"), "also those that do not run"),
                Option(("-f", "--filter"), "only those that fit: name=…, status=…, label=…", "KEY=VALUE", many=True),
                FORMAT,
                Option(("-n", "--last"), "the last ones that were created, running or not", "NUMBER"),
                Option(("-l", "--latest"), "the last one that was created"),
                WHOLE,
                QUIET,
                Option(("-s", "--size"), "also how much it has written"),
            ),
        ),
        _ps,
    )
}
