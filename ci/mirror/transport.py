"""Bringing a mirror up to date: git itself, as a program that cannot be led astray.

git runs without anybody's configuration, hooks or prompts, speaks only the protocols named here, and is ended with all
it has started when its time is over: a forge that hangs must not hold a runner. What it is given to log in with goes
through its environment, so that it is in no process list, no configuration and no `git remote -v`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMES = ("https", "http", "ssh", "git")
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.sshCommand": "ssh -F none -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.autoDetach": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "maintenance.autoDetach": "false",
    "protocol.allow": "never",
    "receive.denyCurrentBranch": "ignore",
    "safe.directory": "*",  # whoever owns it, it is read by the rules here
}
_INHERITED = ("PATH", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "GIT_SSL_CAINFO",
              "SSL_CERT_FILE", "SSH_AUTH_SOCK")  # fmt: skip
_SAID = 2000  # characters of what git says
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a repository is fetched from. `header` is a whole HTTP header for one that is private."""

    url: str
    header: str = ""


class GitError(CiError):
    """git could not do it; the message has what it said."""

    reference = "git"
    exit_code = 1


def run(arguments: Sequence[str], folder: Path, *, timeout: float, header: str = "", files: bool = False) -> str:
    """What `git ARGUMENTS` prints in `folder`. `files` allows repositories of this host. Raises GitError."""
    settings = _SETTINGS | {f"protocol.{scheme}.allow": "always" for scheme in SCHEMES}
    if files:
        settings["protocol.file.allow"] = "always"
    if header:
        settings["http.extraHeader"] = header
    with subprocess.Popen(
        ["git", *arguments],
        cwd=folder,
        env=_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise GitError(f"git {arguments[0]} took more than {timeout:g} s", hint="does the forge answer?") from None
        finally:
            _end(process)
    if process.returncode != 0:
        raise GitError(f"git {arguments[0]} failed: {_shown(said)}")
    return output


def check_url(url: str, *, files: bool = False) -> None:
    """Raise GitError for a URL that is none of an allowed protocol, or that git would take for an option."""
    scheme, separator, rest = url.partition("://")
    if separator and rest and (scheme in SCHEMES or (files and scheme == "file")) and not re.search(r"[\s\0]", url):
        return
    if not separator and re.fullmatch(r"[\w.-]+@[\w.-]+:[^\s:][^\s]*", url):  # git@host:path, ssh's short form
        return
    raise GitError(
        f"{_PASSWORD.sub('', url)!r} is not the URL of a repository",
        hint=f"use one of {', '.join(SCHEMES)}",
        reference="bad-url",
    )


def _environment(settings: dict[str, str]) -> dict[str, str]:
    found = {name: value for name in _INHERITED if (value := os.environ.get(name))}
    found |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _end(process: subprocess.Popen[str]) -> None:
    """End git and its helpers, which are in a group of their own, if it has not ended by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _shown(said: str) -> str:
    """The lines that say what is wrong, without a password."""
    lines = [_PASSWORD.sub("", line.strip()) for line in said.splitlines()]
    wrong = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:", "remote:", "git:"))] or lines[-3:]
    return "; ".join(line for line in wrong if line)[:_SAID] or "it said nothing"
