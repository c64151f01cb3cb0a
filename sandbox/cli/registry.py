"""`sandbox registry serve`: the registry server alone, on a directory of its own, with accounts from files."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cli import values
from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import tell
from sandbox.cli.registry_store import STORAGE, collect, credentials, listing, storage
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.registry.server.access import Gate
    from sandbox.registry.server.layout import Layout
    from sandbox.registry.server.limits import Limits
    from sandbox.registry.server.mirror import Upstream

_ADDRESS = "127.0.0.1:5000"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _serve(arguments: Arguments, home: str) -> int:
    host, port = _address(arguments.text("address", _ADDRESS))
    _check(arguments)
    from sandbox.registry.server.application import Registry  # noqa: PLC0415  (brings werkzeug, for this verb alone)
    from sandbox.registry.server.layout import Layout  # noqa: PLC0415
    from sandbox.registry.server.serving import Serving, check_certificate, listen, serve  # noqa: PLC0415

    root = storage(arguments, home)
    gate = _gate(arguments, Layout(root))
    registry = Registry(
        root,
        gate=gate,
        limits=_limits(arguments),
        quotas=_quotas(arguments),
        upstream=_upstream(arguments, home),
        read_only=arguments.flag("read-only"),
        mounts_anything=gate is None,
        complete=not arguments.flag("allow-missing"),
        public=arguments.text("public-url"),
    )
    plain = Serving()
    serving = Serving(
        certificate=_path(arguments, "tls-cert"),
        key=_path(arguments, "tls-key"),
        processes=arguments.number("processes", least=1) or plain.processes,
        threads=arguments.number("threads", least=1) or plain.threads,
        log=not arguments.flag("no-log"),
        stalled=int(_seconds(arguments, "stalled-timeout", plain.stalled)) or 1,
        collect_every=_seconds(arguments, "collect-every", plain.collect_every),
    )
    check_certificate(serving)
    listener = listen(host, port, serving.stalled)
    scheme = "https" if serving.certificate else "http"
    tell(f"serving {root} at {scheme}://{_shown(host)}:{listener.getsockname()[1]}")
    if gate is None and host not in _LOOPBACK:
        tell(
            "warning: there are no accounts: whoever reaches this address may push and delete (--htpasswd, --read-only)"
        )
    gc.enable()  # a server lives longer than a command
    serve(registry, serving, listener)
    return 0


def _check(arguments: Arguments) -> None:
    """Raises UsageError for options that do not go together."""
    if arguments.given("tls-key") and not arguments.given("tls-cert"):
        raise UsageError("--tls-key without --tls-cert")
    with_accounts = ("rules", "anonymous-pull", "auth")
    lonely = next((option for option in with_accounts if arguments.given(option)), None)
    if lonely and not arguments.given("htpasswd"):
        raise UsageError(f"--{lonely} needs accounts", hint="give them with --htpasswd")
    if arguments.text("auth", "token") not in ("token", "basic"):
        raise UsageError(f"--auth {arguments.text('auth')!r} is neither token nor basic")
    if arguments.flag("anonymous-pull") and arguments.text("auth") == "basic":
        raise UsageError("--anonymous-pull goes with --auth token alone: docker shows a password only where it has to")


def _address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `:PORT`, `HOST` or `[IPv6]:PORT`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, _ADDRESS.rpartition(":")[2]
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"--address {text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104  (what `:5000` means)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _gate(arguments: Arguments, layout: Layout) -> Gate | None:
    passwords = _path(arguments, "htpasswd")
    if passwords is None:
        return None
    from sandbox.registry.server.access import BasicGate  # noqa: PLC0415
    from sandbox.registry.server.htpasswd import FileAccounts  # noqa: PLC0415
    from sandbox.registry.server.tokens import TokenGate, secret  # noqa: PLC0415

    accounts = FileAccounts(passwords, rules=_path(arguments, "rules"), anonymous_pull=arguments.flag("anonymous-pull"))
    return BasicGate(accounts) if arguments.text("auth") == "basic" else TokenGate(accounts, secret(layout))


def _upstream(arguments: Arguments, home: str) -> Upstream | None:
    domain = arguments.text("mirror-of")
    if not domain:
        return None
    from sandbox.cli.registry_mirror import Other  # noqa: PLC0415  (brings urllib3)
    from sandbox.cli.session import state_directory  # noqa: PLC0415
    from sandbox.image.reference import parse  # noqa: PLC0415

    try:
        named = parse(f"{domain}/name").domain
    except InvalidError:
        named = ""
    if named != domain:
        raise UsageError(f"--mirror-of {domain!r} is not the host of a registry", hint="such as docker.io, host:5000")
    return Other(domain, state_directory(home))


def _limits(arguments: Arguments) -> Limits:
    from sandbox.registry.server.limits import Limits  # noqa: PLC0415

    plain = Limits()
    return Limits(
        manifest=_bytes(arguments, "max-manifest", plain.manifest),
        blob=_bytes(arguments, "max-blob", plain.blob),
        uploads=arguments.number("max-uploads", least=1) or plain.uploads,
    )


def _quotas(arguments: Arguments) -> dict[str, int]:
    found = {}
    for text in arguments.texts("quota"):
        name, equals, size = text.partition("=")
        if not equals or not name:
            raise UsageError(
                f"--quota {text!r} is not NAME=SIZE", hint="such as team=10g, or '*=1g' for each repository"
            )
        found[name.rstrip("/")] = values.size(size, "--quota")
    return found


def _bytes(arguments: Arguments, option: str, default: int) -> int:
    return values.size(arguments.text(option), f"--{option}") if arguments.given(option) else default


def _seconds(arguments: Arguments, option: str, default: float) -> float:
    from sandbox.cli.moments import length  # noqa: PLC0415  (brings regular expressions)

    return length(arguments.text(option), f"--{option}") if arguments.given(option) else default


def _path(arguments: Arguments, option: str) -> Path | None:
    if not arguments.given(option):
        return None
    path = Path(arguments.text(option)).absolute()
    if not path.is_file():
        raise UsageError(f"--{option} {str(path)!r} is not a file")
    return path


VERBS = {
    "registry serve": Verb(
        Syntax(
            "serve a registry that docker, podman, skopeo and oras push to and pull from",
            "",
            (
                Option(("--address",), f"where to serve ({_ADDRESS})", "HOST:PORT"),
                STORAGE,
                Option(("--tls-cert",), "certificate chain (PEM); without one it is plain http", "FILE"),
                Option(("--tls-key",), "its key, where that is not in the same file", "FILE"),
                Option(("--htpasswd",), "accounts, as `sandbox registry passwd` or `htpasswd -B` writes them", "FILE"),
                Option(("--rules",), "who may do what: lines of ACCOUNT PATTERN pull,push,delete", "FILE"),
                Option(("--auth",), "how passwords are shown: token (standard) or basic", "KIND"),
                Option(("--anonymous-pull",), "anybody may pull"),
                Option(("--public-url",), "address by which clients know it, behind a proxy", "URL"),
                Option(("--mirror-of",), "fetch what is missing from this registry, and keep it", "HOST"),
                Option(("--read-only",), "refuse pushes and deletions"),
                Option(("--allow-missing",), "take manifests before what they refer to"),
                Option(
                    ("--quota",),
                    "most that a repository, or a namespace with all below it, may hold",
                    "NAME=SIZE",
                    many=True,
                ),
                Option(("--max-blob",), "largest blob (64g)", "SIZE"),
                Option(("--max-manifest",), "largest manifest (4m)", "SIZE"),
                Option(("--max-uploads",), "uploads at the same time (1000)", "NUMBER"),
                Option(("--collect-every",), "time between garbage collections (24h); 0: none", "TIME"),
                Option(("--processes",), "processes (1)", "NUMBER"),
                Option(("--threads",), "requests at the same time in each process (128)", "NUMBER"),
                Option(("--stalled-timeout",), "close connections on which nothing moves for so long (60s)", "TIME"),
                Option(("--no-log",), "no line for each request"),
            ),
        ),
        _serve,
    ),
    "registry gc": collect,
    "registry ls": listing,
    "registry passwd": credentials,
}
