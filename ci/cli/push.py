"""`ci-run push`: tells a server of a push to a plain git repository, one that no forge tells of.

As the post-receive hook of a repository (`exec ci-run push --server URL --repository ID:NAME --secret-file FILE`) it
reads what was pushed from its standard input, one line a reference (githooks(5)); with --ref it is told.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci.errors import CiError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "tell a server of a push to a plain git repository"
_TRIES = 5
_NULL = "0" * 40


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--server", default=os.environ.get("HAKO_SERVER_URL", ""), help="its URL ($HAKO_SERVER_URL)")
    parser.add_argument("--repository", required=True, help="id and name as the server has them: 3:owner/name")
    parser.add_argument("--secret-file", help="the file of the hook's secret (default: $HAKO_HOOK_SECRET itself)")
    parser.add_argument("--ref", help="what was pushed, as the repository here has it: refs/heads/main")


def run(arguments: Namespace) -> int:
    """Send a delivery for each reference; 1 where the server refuses one."""
    identifier, colon, name = arguments.repository.partition(":")
    if not colon or not identifier.isdecimal() or not name:
        raise CiError(f"{arguments.repository!r} names no repository", hint="write ID:OWNER/NAME", reference="usage")
    if not arguments.server:
        raise CiError("no server is named", hint="--server URL, or HAKO_SERVER_URL", reference="usage")
    secret = _secret(arguments.secret_file)
    url = f"{arguments.server.rstrip('/')}/hooks/git/{identifier}"
    for before, after, ref in _told(arguments.ref):
        pushed = {"repository": name, "ref": ref, "before": before, "after": after, "user": os.environ.get("USER", "")}
        sys.stderr.write(f"ci-run: {ref}: {_send(url, secret, pushed)}\n")
    return 0


def _secret(path: str | None) -> str:
    secret = Path(path).read_text().strip() if path else os.environ.get("HAKO_HOOK_SECRET", "")
    if not secret:
        raise CiError("there is no secret to sign with", hint="--secret-file, or HAKO_HOOK_SECRET", reference="usage")
    return secret


def _told(ref: str | None) -> list[tuple[str, str, str]]:
    """Before, after and name of each reference."""
    if ref is not None:
        full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", full], capture_output=True, text=True, check=False
        )
        if found.returncode:
            raise CiError(f"the repository here has no {full}", hint="run it in the repository", reference="usage")
        return [(_NULL, found.stdout.strip(), full)]
    lines = [line.split(" ", 2) for line in sys.stdin.read().splitlines() if line.strip()]
    if any(len(line) != 3 for line in lines):
        raise CiError("what was pushed is not told on the standard input", hint="--ref names it", reference="usage")
    return [(before, after, name) for before, after, name in lines]


def _send(url: str, secret: str, pushed: dict[str, Any]) -> str:
    import json  # noqa: PLC0415
    import time  # noqa: PLC0415
    import uuid  # noqa: PLC0415

    import urllib3  # noqa: PLC0415

    from ci.forge import signatures  # noqa: PLC0415
    from ci.forge.plain import DELIVERY  # noqa: PLC0415

    body = json.dumps(pushed).encode()
    headers = {
        "Content-Type": "application/json",
        DELIVERY: str(uuid.uuid4()),  # the same in every try: it is built once
        "X-Hub-Signature-256": signatures.sign(secret, body),
    }
    reason = ""
    for number in range(_TRIES):
        try:
            response = urllib3.request("POST", url, body=body, headers=headers, timeout=10, retries=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = str(error)
        else:
            said = _json(response.data)
            if response.status < 300:
                return str(said.get("outcome", "taken"))
            reason = str(said.get("error", {}).get("message", f"it answers {response.status}"))
            if response.status < 500:
                break
        time.sleep(min(0.2 * 2**number, 2))
    raise CiError(f"{url}: {reason}", reference="push", exit_code=1)


def _json(data: bytes) -> dict[str, Any]:
    import json  # noqa: PLC0415

    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
