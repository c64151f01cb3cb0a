"""`ci-run local [FILE]`: build the project around a pipeline file in containers, here and now, without a server.

A composition root: it reads and checks the file, plays an event from git, makes missing images, copies the work tree
and runs the Stages on the engine. Everything a person can correct is said before the first container starts. Exit code
0: passed, 1: failed, 2: something to correct, 130: interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ci.cli import playing
from ci.cli.interrupts import Interrupts
from ci.cli.order import Order, Style
from ci.cli.selection import Selection, require_secrets, require_trust, select
from ci.cli.values import assignments, secrets, variables
from ci.errors import CiError
from ci.pipeline.event import platform

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Mapping

    from ci.pipeline.event import Event
    from ci.pipeline.outputs import Reference
    from ci.pipeline.spec import StageSpec
    from runners.backend import HostMount
    from runners.cloning import Project

HELP = "build a project in containers on this machine"
_SECRET_FILE_LIMIT = 1 << 20


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        metavar="FILE",
        help="the pipeline (.ci.yml, .woodpecker, .drone.yml, …; here or in a folder above)",
    )
    add("--jobs", "-j", type=int, metavar="N", help="stages that run at once (default: twice the processors)")
    add("--env", "-e", action="append", default=[], metavar="NAME[=VALUE]", help="a variable for every step")
    add("--secret", action="append", default=[], metavar="NAME[=VALUE]", help="a secret; without VALUE that of $NAME")
    add("--secret-file", action="append", default=[], metavar="FILE", help="secrets as lines NAME=VALUE")
    add(
        "--netrc",
        metavar="FILE",
        help="give the steps the login of the project's git server that is in this netrc file",
    )
    add("--only", action="append", default=[], metavar="STEP", help="run this step or stage alone; a pattern")
    add("--from", dest="begin", action="append", default=[], metavar="STEP", help="begin here; a pattern")
    add("--skip", action="append", default=[], metavar="STEP", help="leave this step, service or stage out; a pattern")
    add("--matrix", action="append", default=[], metavar="AXIS=VALUE", help="run the cells with this value only")
    add(
        "--trusted",
        "--privileged-ok",
        action="store_true",
        help="allow what reaches out of the containers: privileged, host folders",
    )
    add("--volume", "-v", action="append", default=[], metavar="PATH:TARGET[:ro]", help="a path that all steps see")
    add("--network", default="", metavar="NAME", help="none, host or a network that is there, in place of a new one")
    add("--pull", choices=("missing", "always", "never"), default="missing", help="when images are made")
    add("--incremental", action="store_true", help="do not run steps again that would meet what they met before")
    add("--no-cache", action="store_true", help="neither use nor keep caches of steps")
    add(
        "--clone",
        action="store_true",
        help="build a fresh clone of the event's commit, as a server does, and not your files",
    )
    add("--keep", action="store_true", help="keep workspaces, and failed steps for `ci-run shell`")
    add("--shell-on-failure", action="store_true", help="open a shell in the container of a step that has failed")
    add("--quiet", "-q", action="store_true", help="print the output of failed steps only, and the summary")
    add("--no-color", "--no-colour", dest="no_color", action="store_true", help="no colours (also: NO_COLOR=1)")
    add("--write", action="store_true", help="write what the steps changed back into the work tree")
    add("--json", action="store_true", help="print what happens as JSON, one event a line, the summary last")
    add("--watch", action="store_true", help="build again whenever the project's files have changed")
    add("--publish", action="store_true", help="make the ports of services reachable at 127.0.0.1")
    add("--artifacts", metavar="DIR", type=Path, help="copy what steps have as artifacts to a folder, by stage")
    add("--junit", metavar="FILE", type=Path, help="write a JUnit report: stages as suites, steps as cases")
    add("--graph", action="store_true", help="show what would run and what waits for what, and run nothing")
    add("--svg", metavar="FILE", type=Path, help="draw the same as a picture, and run nothing")
    playing.configure(parser)


def run(arguments: Namespace) -> int:
    """Build; returns the exit code."""
    started = time.monotonic()
    gc.disable()  # until the steps run: what is made before stays, and looking for garbage in it costs a tenth
    if arguments.watch:
        from ci.cli.files import find_file, project  # noqa: PLC0415
        from ci.cli.watching import watch  # noqa: PLC0415  (seldom)

        return watch(
            project(find_file(arguments.file, Path.cwd())), [word for word in sys.argv[1:] if word != "--watch"]
        )
    with Interrupts() as interrupts:
        order = _order(arguments)
        if not order.selection.stages:
            return 0
        if arguments.graph or arguments.svg is not None:
            return _draw(order, arguments)
        from ci.cli.building import build  # noqa: PLC0415  (a file with mistakes needs no engine)

        return build(order, interrupts, started=started)


def _draw(order: Order, arguments: Namespace) -> int:
    from ci.cli import drawing  # noqa: PLC0415  (seldom)

    if arguments.svg is not None:
        arguments.svg.write_text(drawing.svg(order.selection), "utf-8")
    if arguments.graph:
        sys.stdout.write(drawing.text(order.selection))
    return 0


def _order(arguments: Namespace) -> Order:
    """What to build. Everything that can be wrong with the file and the options is found here."""
    from ci.cli.files import find_file, load_file, project  # noqa: PLC0415
    from ci.cli.images import Pull  # noqa: PLC0415
    from ci.pipeline.compile import compile_all  # noqa: PLC0415
    from ci.pipeline.diagnostics import Severity, render  # noqa: PLC0415

    if arguments.jobs is not None and arguments.jobs < 1:
        raise CiError(f"--jobs: {arguments.jobs} is not a number from 1 on", reference="usage")
    colour = not arguments.no_color and not os.environ.get("NO_COLOR")
    environment = variables(arguments.env, os.environ)
    matrix = assignments("--matrix", arguments.matrix)
    given = secrets(arguments.secret, arguments.secret_file, environment=os.environ, read=_read_secrets)
    filename = find_file(arguments.file, Path.cwd())
    loaded = load_file(filename)
    # What is only good to know is for `ci-run lint`: a run that works should not talk.
    shown = [one for one in loaded.diagnostics if not loaded.ok or one.severity is not Severity.INFO]
    if shown:
        sys.stderr.write(render(shown, colour=colour and _is_terminal(2)))
    if not loaded.ok:
        raise CiError(f"{filename} cannot be run", hint="correct the mistakes above", reference="bad-pipeline")
    folder = project(filename)
    event = _event(arguments, folder)
    as_built = _as_built(arguments, _login(arguments, event, given))
    compiled = compile_all(loaded.documents, event, number=1, machine=os.uname().nodename)
    stages = as_built(compiled)
    if not stages:
        sys.stderr.write(f"ci-run: nothing to do: the conditions of no stage hold for this {event.kind}\n")
    selection = select(stages, only=arguments.only, begin=arguments.begin, skip=arguments.skip, matrix=matrix)
    if arguments.incremental and arguments.volume:
        sys.stderr.write("ci-run: --incremental: all steps are run again, as nothing is known of what --volume has\n")
    if not arguments.graph and arguments.svg is None:
        require_secrets(selection, given)
        if not arguments.trusted:
            require_trust(selection)
    if not arguments.clone and (left := list(dict.fromkeys(name for stage in compiled for name in stage.clone.steps))):
        names = ", ".join(left)
        sys.stderr.write(f"ci-run: the files are built as they are here, without {names}; --clone runs what clones\n")

    def expand(stage: StageSpec, written: Mapping[Reference, str], first: int) -> tuple[StageSpec, ...]:
        from ci.pipeline import open_matrix  # noqa: PLC0415  (seldom)

        machine = os.uname().nodename
        cells = as_built(open_matrix.expand(loaded.documents, stage, event, written, first=first, machine=machine))
        wanted = tuple(
            cell for cell in cells if all(cell.matrix.get(axis, value) == value for axis, value in matrix.items())
        )
        require_secrets(Selection(stages=wanted), given)
        if not arguments.trusted:
            require_trust(Selection(stages=wanted))
        return wanted

    return Order(
        filename=filename,
        project=folder,
        selection=selection,
        expand=expand,
        clone=_clone(arguments, event, folder),
        environment=environment,
        secrets=given,
        mounts=volumes(arguments.volume, Path.cwd()),
        pull=Pull(arguments.pull),
        network=arguments.network,
        caches=not arguments.no_cache,
        incremental=arguments.incremental,
        jobs=arguments.jobs or 2 * (os.cpu_count() or 1),
        keep=arguments.keep,
        shell=arguments.shell_on_failure,
        write=arguments.write,
        publish=arguments.publish,
        artifacts=arguments.artifacts,
        junit=arguments.junit,
        json=arguments.json,
        style=Style(colour=colour and _is_terminal(1), live=_is_terminal(1), quiet=arguments.quiet),
    )


def _event(arguments: Namespace, project: Path) -> Event:
    system = os.uname()
    around = playing.Surroundings(
        user=os.environ.get("USER", ""),
        created=int(time.time()),
        platform=platform(system.sysname, system.machine),
    )
    return playing.play(arguments, project, around)


def _clone(arguments: Namespace, event: Event, folder: Path) -> Project | None:
    if not arguments.clone:
        return None
    from ci.cli.remote import project  # noqa: PLC0415  (seldom)

    if arguments.write:
        raise CiError("--clone and --write: what is built is a clone, and not your files", reference="usage")
    return project(event, folder)


def _login(
    arguments: Namespace, event: Event, secrets: dict[str, str]
) -> Callable[[tuple[StageSpec, ...]], tuple[StageSpec, ...]]:
    """What gives Stages the login that was asked for; without one they stay as they are."""
    if arguments.netrc is None:
        return lambda stages: stages
    from ci.cli.remote import login  # noqa: PLC0415  (seldom)

    return login(arguments.netrc, event, secrets)


def _as_built(
    arguments: Namespace, with_login: Callable[[tuple[StageSpec, ...]], tuple[StageSpec, ...]]
) -> Callable[[tuple[StageSpec, ...]], tuple[StageSpec, ...]]:
    """What makes of compiled Stages those that are run; for files as they are without the steps that clone."""
    if arguments.clone:
        return with_login
    from ci.pipeline.cloning import with_files  # noqa: PLC0415

    return lambda stages: with_login(tuple(with_files(stage) for stage in stages))


def volumes(given: list[str], folder: Path) -> tuple[HostMount, ...]:
    """PATH:TARGET[:ro] arguments; a path is relative to `folder`. Raises CiError."""
    from runners.backend import HostMount  # noqa: PLC0415

    found = []
    for text in given:
        source, _, rest = text.partition(":")
        target, _, option = rest.partition(":")
        if not source or not target.startswith("/") or option not in ("", "ro", "rw"):
            raise CiError(f"--volume: {text!r} is not PATH:TARGET or PATH:TARGET:ro", reference="usage")
        path = (folder / Path(source).expanduser()).resolve()
        if not path.exists():
            raise CiError(f"--volume: there is no {path}", reference="usage")
        found.append(HostMount(source=str(path), target=target, read_only=option == "ro"))
    return tuple(found)


def _read_secrets(filename: str) -> str:
    """The text of a secret file. Raises OSError with its path, CiError."""
    with Path(filename).open("rb") as file:
        data = file.read(_SECRET_FILE_LIMIT + 1)
    if len(data) > _SECRET_FILE_LIMIT:
        raise CiError(f"{filename}: larger than {_SECRET_FILE_LIMIT >> 20} MiB", reference="bad-secret-file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CiError(f"{filename}: not UTF-8", reference="bad-secret-file") from None


def _is_terminal(descriptor: int) -> bool:
    return os.isatty(descriptor) and os.environ.get("TERM") != "dumb"
