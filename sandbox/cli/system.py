"""`sandbox system`: what the engine has and can do here, giving back what is left over, removing it all."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, Verb
from sandbox.cli.output import say, tell
from sandbox.cli.session import open_engine, warn
from sandbox.cli.table import size

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


def _reclaim(_: Arguments, home: str) -> int:
    from sandbox.builder.running import abandoned  # noqa: PLC0415  (this verb's alone)
    from sandbox.registry.client.spool import Spool  # noqa: PLC0415

    engine = open_engine(home)
    for line in engine.reclaim():
        say(f"{line}\n")
    freed = engine.images.reclaim()
    for identifier in abandoned(engine):  # after their builds' folders
        engine.remove(identifier, force=True)
        say(f"container {identifier[:12]} of a build that was killed: removed\n")
    if freed:
        say(f"layers and blobs of no image: {size(freed)} freed\n")
    freed = Spool(engine.home).reclaim(age=0)
    if freed:
        say(f"parts of images that were being pulled: {size(freed)} freed\n")
    return 0


def _start(_: Arguments, home: str) -> int:
    from sandbox.errors import SandboxError  # noqa: PLC0415
    from sandbox.runtime.restarting import at_boot  # noqa: PLC0415

    engine = open_engine(home)
    engine.reclaim()
    code = 0
    for config, state in reversed(engine.containers(all=True)):
        if at_boot(config, state):
            try:
                warn(engine.start(config.id).warnings)
            except SandboxError as error:
                tell(f"sandbox: {config.name}: {error}")
                code = error.exit_code
            else:
                say(f"{config.name}\n")
    return code


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


def _reset(arguments: Arguments, home: str) -> int:
    from sandbox.errors import ConflictError, NotFoundError  # noqa: PLC0415  (this verb's alone)
    from sandbox.kernel import idmap  # noqa: PLC0415
    from sandbox.kernel.paths import remove_tree  # noqa: PLC0415

    engine = open_engine(home)
    containers = engine.containers(all=True)
    if not arguments.given("force"):
        running = sum(state.status == "running" for _, state in containers)
        raise ConflictError(
            f"this removes {engine.home} with its {len(containers)} containers ({running} running) and "
            f"{len(engine.images.list())} images, and all volumes and networks",
            hint="if that is meant, add --force",
            reference="not-forced",
        )
    for config, _ in containers:
        with suppress(NotFoundError):
            engine.remove(config.id, force=True)
    engine.reclaim()
    if idmap.in_initial_namespace():
        engine.networks.tear_down()
    folder = os.open(engine.home, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in os.listdir(engine.home):  # noqa: PTH208  (names are what is wanted)
            remove_tree(folder, name)
    finally:
        os.close(folder)
    say(f"{engine.home} is empty\n")
    return 0


VERBS = {
    "system info": Verb(Syntax("print what there is and what this host can do"), _info),
    "system reset": Verb(
        Syntax(
            "remove everything: containers, images, volumes, networks; needs no root where it was made without",
            "",
            (Option(("-f", "--force"), "yes, also what runs"),),
        ),
        _reset,
    ),
    "system start": Verb(
        Syntax("start the containers whose restart policy asks for it, after the machine's start"), _start
    ),
    "system reclaim": Verb(Syntax("give back what killed commands and containers have left"), _reclaim),
}
