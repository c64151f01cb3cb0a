"""What a local run has to do with the project's git server: `--clone` builds a fresh clone, `--netrc` gives a login.

Called by `ci.cli.local` for what to clone and whom to log in as, and by `ci.cli.building` for the clones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ci.errors import CiError
from ci.pipeline.event import NULL_COMMIT, EventKind
from ci.pipeline.netrc import PASSWORD, with_login
from runners.cloning import Project, clone
from runners.gitrepo import enclosing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ci.pipeline.event import Event
    from ci.pipeline.spec import Clone, StageSpec


def project(event: Event, folder: Path) -> Project:
    """What to clone: from the remote, or, where there is none, from the repository here. Raises CiError."""
    top = enclosing(folder)
    if event.commit == NULL_COMMIT or (not event.remote_url and top is None):
        raise CiError("--clone: there is no commit that could be cloned", hint="commit first", reference="no-commit")
    url = event.remote_url or str(top)
    is_here = "://" not in url and Path(url).exists()
    return Project(
        url=f"file://{Path(url).resolve()}" if is_here else url,
        ref=event.full_ref or "HEAD",
        commit=event.commit,
        branch=event.branch if event.kind in {EventKind.PUSH, EventKind.CRON, EventKind.MANUAL} else "",
        is_here=is_here or url.startswith("file://"),
    )


def clones(
    wanted: Project, stages: Iterable[StageSpec], folder: Path, tell: Callable[[str], None]
) -> Callable[[Clone], Path]:
    """The clone of the project by its settings: one for all Stages that want the same, made before the first begins."""
    made: dict[Clone, Path] = {}

    def cloned(how: Clone) -> Path:
        if how not in made:
            path = folder / f"clone-{len(made)}"
            path.mkdir(mode=0o755)
            tell(f"cloning {wanted.url} at {wanted.commit[:12]}")
            clone(wanted, how, path, tell=tell)
            made[how] = path
        return made[how]

    for stage in stages:
        if stage.clone.by_runner and not stage.cells_from:
            cloned(stage.clone)
    return cloned


def login(
    filename: str, event: Event, secrets: dict[str, str]
) -> Callable[[tuple[StageSpec, ...]], tuple[StageSpec, ...]]:
    """What gives the login of a netrc file to Stages; the password gets among the secrets. Raises CiError, OSError."""
    from netrc import NetrcParseError, netrc  # noqa: PLC0415  (a clone needs none)

    host = _host(event.remote_url)
    try:
        found = netrc(Path(filename).expanduser()).authenticators(host) if host else None
    except (NetrcParseError, UnicodeDecodeError) as error:
        raise CiError(f"--netrc: {filename}: {error}", reference="usage") from None
    if found is None:
        raise CiError(f"--netrc: {filename} has no login for {host or 'a project without a server'}", reference="usage")
    user, _, password = found
    secrets[PASSWORD] = password or ""
    return lambda stages: with_login(stages, host, user)


def _host(url: str) -> str:
    """The host in a remote's URL, also in ssh's short form `user@host:path`; empty where there is none."""
    try:
        return urlsplit(url if "://" in url else f"ssh://{url.partition(':')[0]}").hostname or ""
    except ValueError:
        return ""
