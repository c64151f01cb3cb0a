"""Somebody who is not root, with a home, a checkout that can be reached and the commands in it.

A run by root meets ordinary users through this: commands are started as that user, with no environment of root's and no
login session. Where others cannot enter the folders above the checkout (/root is such a place), they get it mounted in
their home, in a mount namespace of that command alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.kernel.children import Account

# /dev/net/tun is open to all on most machines; here it is as the person is to find it
_TAKE_OVER = """
mount --bind "$1" "$2" && cd "$2" && shift 2
if [ -c /dev/net/tun ] && mount -t tmpfs -o mode=755,dev tun /mnt 2>/dev/null; then
  mknod -m "$TUN" /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun
  umount -l /mnt
fi 2>/dev/null
exec setpriv "$@"
"""
_PREFIXES = ("HAKO_", "XDG_", "PYTEST_", "DBUS_")  # a session's, and what a test run tells its own processes


class Person(NamedTuple):
    """`home` is a new folder of the account's own, `repository` the checkout as that account finds it."""

    account: Account
    home: Path
    repository: Path
    tun: str = "666"  # the mode of /dev/net/tun; root's runs alone can change it

    @property
    def python(self) -> str:
        """The interpreter that the tests run with."""
        given = Path(sys.executable)
        return str(self.repository / given.relative_to(REPOSITORY) if given.is_relative_to(REPOSITORY) else given)

    def run(self, *words: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """A Python program of the checkout (`-m sandbox.cli.main …`, `-c …`), to its end, in the checkout's folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
        kept |= {
            "HOME": str(self.home),
            "PYTHONPATH": str(self.repository),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TUN": self.tun,
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self.home / "examples"),
        }
        command = [self.python, *words]
        if os.geteuid() == 0:
            identity = [f"--reuid={self.account.uid}", f"--regid={self.account.gid}", "--clear-groups"]
            unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _TAKE_OVER, "sh"]
            command = [*unshare, str(REPOSITORY), str(self.repository), *identity, *command]
        return subprocess.run(
            command,
            cwd=None if os.geteuid() == 0 else self.repository,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def sandbox(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command `sandbox`, on the state directory in this home."""
        return self.run("-m", "sandbox.cli.main", *words)


@contextmanager
def person(account: Account) -> Iterator[Person]:
    """A person with that account; home and state directory are removed afterwards, by the person itself."""
    home = Path(tempfile.mkdtemp(prefix="hako-user-"))
    repository = REPOSITORY
    try:
        if os.geteuid() == 0:
            os.chown(home, account.uid, account.gid)
            repository = home / "checkout"
            repository.mkdir()
        found = Person(account, home, repository)
        try:
            yield found
        finally:
            if (home / ".local/share/hako").exists():
                found.sandbox("system", "reset", "--force")
    finally:
        shutil.rmtree(home, ignore_errors=os.geteuid() != 0)
