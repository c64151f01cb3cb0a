"""A real PostgreSQL server of its own: a data directory, a unix socket, no port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def programs() -> Path | None:
    """The folder of the newest server's programs; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a database on a server that runs until the end of the block.

    The server refuses to be root, so root's is started as `nobody`. Durability is turned off: it has nothing to keep.
    """
    folder = programs()
    assert folder is not None
    # Short: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="hako-pg-", dir="/tmp") as home:
        user: dict[str, int] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid}
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
        data = f"{home}/data"
        _run([folder / "initdb", "-D", data, "-U", "hako", "-A", "trust", "-E", "UTF8", "--no-sync"], home, user)
        settings = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off -c full_page_writes=off"
        control: list[str | Path] = [folder / "pg_ctl", "-D", data, "-w", "-t", "60"]
        _run([*control, "-o", settings, "-l", f"{home}/log", "start"], home, user)
        try:
            yield f"postgresql://hako@/postgres?host={home}"
        finally:
            _run([*control, "-m", "immediate", "stop"], home, user)
            shutil.rmtree(data, ignore_errors=True)


def _run(command: list[str | Path], home: str, user: dict[str, int]) -> None:
    # Its output goes to a file: a server that is started inherits it, and a pipe would not end with the command.
    with Path(home, "output").open("w+") as output:
        done = subprocess.run(command, cwd=home, stdout=output, stderr=output, check=False, timeout=120, **user)  # type: ignore[call-overload]
        output.seek(0)
        assert done.returncode == 0, output.read()
