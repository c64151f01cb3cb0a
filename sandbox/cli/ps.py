"""`sandbox ps`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sandbox.cli.listing import FORMAT, QUIET, WHOLE, listing
from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine, reclaim
from sandbox.cli.table import ago, duration, shortened
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.state import State

_HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
}
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Names")


def _ps(arguments: Arguments, home: str) -> int:
    engine = open_engine(home)
    reclaim(engine)
    found = engine.containers(all=arguments.flag("all"))
    now = time.time()
    rows = [row(config, state, now, whole=arguments.flag("no-trunc")) for config, state in found]
    say(listing(rows, _HEADINGS, _COLUMNS, arguments))
    return 0


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
        "State": str(state.status),
        "Names": config.name,
        "Networks": config.spec.network,
        "Labels": ",".join(f"{name}={value}" for name, value in config.spec.labels.items()),
        "Mounts": ",".join(mount.source or mount.target for mount in config.spec.mounts),
    }


def status(state: State, now: float) -> str:
    """`Up 3 minutes`, `Exited (0) 2 hours ago`, `Created`."""
    if state.status is Status.RUNNING:
        return f"Up {duration(max(0.0, now - state.started))}"
    if state.status is Status.EXITED:
        return f"Exited ({state.exit_code}) {ago(state.finished, now)}"
    return "Created"


VERBS = {
    "ps": Verb(
        Syntax("list containers", "", (Option(("-a", "--all"), "also those that do not run"), FORMAT, WHOLE, QUIET)),
        _ps,
    )
}
