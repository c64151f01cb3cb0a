"""docker-credential-*: programs that keep passwords in a keyring, or make them from a cloud's account.

One word on the command line, the server on standard input, JSON on standard output. Source:
docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import json
import subprocess

from sandbox.errors import InvalidError, SandboxError

TOKEN = "<token>"  # noqa: S105  (the name with which a helper says that the secret is an identity token)
_PREFIX = "docker-credential-"
_PATIENCE = 60.0  # seconds: somebody may have to unlock a keyring
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_NOT_FOUND = "credentials not found in native keychain"  # what every helper says, word for word


def get(helper: str, server: str) -> tuple[str, str] | None:
    """Name and secret; None where it has none. Raises SandboxError."""
    done = _run(helper, "get", server.encode())
    if done.returncode != 0:
        if _NOT_FOUND in done.stdout.decode(errors="replace"):
            return None
        raise _failed(helper, "get", done)
    try:
        document = json.loads(done.stdout)
        username, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError):
        raise SandboxError(f"{_PREFIX}{helper} answers with something else than JSON") from None
    return (str(username), str(secret)) if secret else None


def store(helper: str, server: str, username: str, secret: str) -> None:
    """Have it kept. Raises SandboxError."""
    body = json.dumps({"ServerURL": server, "Username": username, "Secret": secret}).encode()
    done = _run(helper, "store", body)
    if done.returncode != 0:
        raise _failed(helper, "store", done)


def erase(helper: str, server: str) -> bool:
    """Have it forgotten; whether there was anything."""
    if get(helper, server) is None:
        return False
    done = _run(helper, "erase", server.encode())
    if done.returncode != 0:
        raise _failed(helper, "erase", done)
    return True


def _run(helper: str, word: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    if not helper or not _NAME.issuperset(helper):  # it comes from a file, and must not be a path
        raise InvalidError(f"{helper[:100]!r} is not the name of a credential helper")
    program = f"{_PREFIX}{helper}"
    try:
        return subprocess.run([program, word], input=given, capture_output=True, timeout=_PATIENCE, check=False)
    except FileNotFoundError:
        raise SandboxError(
            f"{program} is not installed", hint="docker's config.json names it (credsStore, credHelpers)"
        ) from None
    except subprocess.TimeoutExpired:
        raise SandboxError(f"{program} did not answer within {_PATIENCE:.0f} s") from None
    except OSError as error:
        raise SandboxError(f"cannot run {program}: {(error.strerror or '').lower()}") from None


def _failed(helper: str, word: str, done: subprocess.CompletedProcess[bytes]) -> SandboxError:
    said = (done.stdout or done.stderr).decode(errors="replace").strip().partition("\n")[0]
    shown = "".join(one if one.isprintable() else " " for one in said[:200])
    return SandboxError(f"{_PREFIX}{helper} {word} failed: {shown or f'code {done.returncode}'}")
