"""Values of `sandbox build`'s options that are more than words: secrets, ssh agents, rights, limits of RUN."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli import values
from sandbox.cli.options import UsageError
from sandbox.cli.settings import ulimits
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from sandbox.builder.options import Entitlement, RunLimits, Secret
    from sandbox.cli.options import Arguments

_DEFAULT = "default"


def secrets(arguments: Arguments) -> dict[str, Secret]:
    """`--secret id=NAME,src=FILE` and `id=NAME,env=VARIABLE`, by their ids."""
    from sandbox.builder.options import Secret  # noqa: PLC0415  (other verbs do without)

    found = {}
    for text in arguments.texts("secret"):
        fields = dict(field.partition("=")[::2] for field in text.split(","))
        name = fields.get("id", "")
        path, variable = fields.get("src") or fields.get("source"), fields.get("env")
        if not name or set(fields) - {"id", "src", "source", "env", "type"}:
            raise UsageError(
                f"--secret {text!r} is not understood", hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE"
            )
        if path is None and (variable or name) in os.environ:
            content = os.fsencode(os.environ[variable or name])
        else:
            try:
                content = Path(path or name).read_bytes()
            except OSError as error:
                reason = (error.strerror or "").lower()
                raise InvalidError(f"cannot read the secret {name!r} from {path or name!r}: {reason}") from None
        found[name] = Secret(name, content)
    return found


def agents(arguments: Arguments, folder: Path, stack: ExitStack) -> dict[str, str]:
    """`--ssh ID[=SOCKET|KEY,KEY…]`: the sockets of agents by their ids. Those of keys live as long as `stack`."""
    found = {}
    for text in arguments.texts("ssh"):
        name, _, listed = text.partition("=")
        paths = listed.split(",") if listed else [os.environ.get("SSH_AUTH_SOCK", "")]
        if not name or not all(paths):
            raise UsageError(
                f"--ssh {text!r} names no agent", hint="$SSH_AUTH_SOCK is not set; write ID=SOCKET or ID=KEYFILE"
            )
        try:
            sockets = [stat.S_ISSOCK(Path(path).stat().st_mode) for path in paths]
        except OSError as error:
            raise InvalidError(f"--ssh {text!r}: {error.filename}: {(error.strerror or '').lower()}") from None
        if sockets == [True]:
            found[name] = paths[0]
        elif any(sockets):
            raise UsageError(f"--ssh {text!r} mixes agents and keys", hint="name one socket, or key files")
        else:
            from sandbox.builder.agent import key_agent  # noqa: PLC0415  (seldom)

            inner = folder / os.urandom(8).hex()
            inner.mkdir()
            found[name] = stack.enter_context(key_agent(paths, inner))
    return found


def entitlements(arguments: Arguments) -> frozenset[Entitlement]:
    """`--allow`, and what `--network host` allows."""
    from sandbox.builder.options import Entitlement  # noqa: PLC0415

    found = set()
    for text in arguments.texts("allow"):
        if text not in tuple(Entitlement):
            raise UsageError(f"--allow {text!r} is none of {', '.join(Entitlement)}")
        found.add(Entitlement(text))
    if arguments.text("network") == "host":
        found.add(Entitlement.HOST_NETWORK)
    return frozenset(found)


def limits(arguments: Arguments) -> RunLimits:
    """What every RUN has."""
    from sandbox.builder.options import RunLimits  # noqa: PLC0415

    return RunLimits(
        hosts=tuple(values.host(text, "--add-host") for text in arguments.texts("add-host")),
        ulimits=ulimits(arguments.texts("ulimit")),
        shm_size=values.size(arguments.text("shm-size", "64m"), "--shm-size"),
    )
