"""The token of a runner on the server's own host: made with the server, found by the runner in a file of the home.

Called by `ci-run server` before it serves. Only who may read the server's database can read the file.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from ci.access import credentials
from ci.access.credentials import Credential
from ci.errors import CiError
from ci.store import runners

if TYPE_CHECKING:
    from pathlib import Path

    from web.services import Services


def prepare(services: Services) -> None:
    """Have the file and the runner that its token is of; what is there already stays."""
    path = services.settings.runner_token
    made = credentials.make(runners.PREFIX)
    with suppress(FileExistsError):
        _write(path, made.text)
    text = path.read_text("ascii", "replace").strip()
    kept = Credential(text, credentials.digest(text), "")
    with services.database.write() as connection:
        if runners.by_token(connection, text) is not None:
            return
        with suppress(CiError):  # the name is another runner's, or this one was told to work no more
            runners.add(connection, _name(), services.clock(), credential=kept)


def _name() -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()).lstrip("_.-")[:100] or "local"


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
        os.link(draft, path)  # whole, or not at all
    finally:
        draft.unlink()
