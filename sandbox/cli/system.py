"""`sandbox system`: what the engine has and can do here, and giving back what is left over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli.options import Syntax, Verb
from sandbox.cli.output import say
from sandbox.cli.session import open_engine
from sandbox.cli.table import size

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _reclaim(_: Arguments, home: str) -> int:
    engine = open_engine(home)
    for line in engine.reclaim():
        say(f"{line}\n")
    freed = engine.images.reclaim()
    if freed:
        say(f"layers and blobs of no image: {size(freed)} freed\n")
    return 0


def _info(_: Arguments, home: str) -> int:
    from sandbox.kernel import idmap  # noqa: PLC0415  (this verb's alone)
    from sandbox.kernel.cgroups import Hierarchy  # noqa: PLC0415

    engine = open_engine(home)
    containers = engine.containers(all=True)
    hierarchy = Hierarchy.detect()
    ids = idmap.current()
    kernel = os.uname()
    if idmap.in_initial_namespace():
        user = "root"
    else:
        user = "an ordinary user, " + ("one id" if ids.single else "subordinate ids")
    facts = {
        "state directory": str(engine.home),
        "containers": f"{len(containers)}, {sum(state.status == 'running' for _, state in containers)} running",
        "images": f"{len(engine.images.list())}, {size(engine.images.total_size())}",
        "user": user,
        "control groups": f"version {hierarchy.version}" if hierarchy.version else "none",
        "kernel": f"{kernel.release} {kernel.machine}",
    }
    say("".join(f"{name + ':':<18}{value}\n" for name, value in facts.items()))
    return 0


VERBS = {
    "system info": Verb(Syntax("print what there is and what this host can do"), _info),
    "system reclaim": Verb(Syntax("give back what killed commands and containers have left"), _reclaim),
}
