"""`ci-run shell [STEP]`: a shell in the container of a step that failed, as it left it (`ci-run local --keep`).

Every shell begins with the same files; what is done in it is gone with it, but for the kept workspace.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ci.cli.keeping import Keeper
from ci.cli.shelling import open_shell
from ci.cli.values import secrets
from sandbox.runtime.engine import Engine, default_home

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "open a shell in what a failed step left"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add = parser.add_argument
    add("step", nargs="?", default="", metavar="STEP", help="which one (default: the last that failed)")
    add("--secret", action="append", default=[], metavar="NAME[=VALUE]", help="a variable that was a secret")
    add("--list", action="store_true", help="list what is kept")
    add("--remove", action="store_true", help="remove everything that is kept")


def run(arguments: Namespace) -> int:
    """Open it; returns its exit code."""
    home = default_home()
    keeper = Keeper(home)
    if arguments.list:
        for one in keeper.all():
            sys.stdout.write(f"{one.stage}/{one.step}  {one.image}  {one.workspace}\n")
        return 0
    if arguments.remove:
        from sandbox.kernel.idmap import become_root  # noqa: PLC0415

        become_root()  # an ordinary user's containers have left files of other ids
        engine = Engine(home)
        try:
            count = keeper.remove(engine.images)
        finally:
            engine.close()
        sys.stdout.write(f"removed what {count} failed step{'s' if count != 1 else ''} left\n")
        return 0
    kept = keeper.find(arguments.step)
    given = secrets(arguments.secret, [], environment=os.environ, read=str)
    missing = [name for name in kept.secrets if name not in given]
    if missing:
        sys.stderr.write(f"ci-run: secrets are not kept; without --secret these are not set: {', '.join(missing)}\n")
    sys.stderr.write(f"ci-run: {kept.stage}/{kept.step}; `ci-run shell --remove` removes what is kept\n")
    return open_shell(kept, given, str(home))
