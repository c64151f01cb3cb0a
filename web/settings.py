"""What the server is told by its environment, read once, with one line for what is wrong in it.

Called by the verbs that run a process of the server (`ci-run server`, `ci-run worker`). docs/server.md lists the
variables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ci.access.oauth import Application
from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LISTEN = "127.0.0.1:8080"
_LOGINS = {"GITHUB": ("github", "https://github.com"), "GITEA": ("gitea", ""), "FORGEJO": ("forgejo", "")}
_SWITCH = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one server. `redis_url` empty: one of our own. `server_url` is how browsers, forges and runners reach it."""

    folder: Path  # everything of the server is below it
    database_url: str
    redis_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    server_url: str = ""
    processes: int = 1
    threads: int = 64  # in each process: how many requests are answered at once
    proxies: int = 0  # reverse proxies in front, whose X-Forwarded headers are believed
    files: bool = False  # whether repositories may be folders of this host
    logins: tuple[Application, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return self.server_url.startswith("https:")

    @property
    def keys(self) -> Path:
        """The file of the keys that secrets are encrypted with."""
        return self.folder / "secret.keys"

    @property
    def valkey(self) -> Path:
        """The folder of the server's own Valkey."""
        return self.folder / "valkey"

    @property
    def mirrors(self) -> Path:
        """The folder of the repositories' mirrors."""
        return self.folder / "mirrors"

    @property
    def logs(self) -> Path:
        """The folder of the steps' logs."""
        return self.folder / "logs"

    @property
    def artifacts(self) -> Path:
        """The folder of what builds have left."""
        return self.folder / "artifacts"

    @property
    def images(self) -> Path:
        """The folder of the registry of images."""
        return self.folder / "registry"

    @property
    def runner_token(self) -> Path:
        """The file of the token for a runner on the same host."""
        return self.folder / "runner-token"


def read(environment: Mapping[str, str], home: Path) -> Settings:
    """`home` is $HAKO_HOME. Raises CiError for a variable that makes no sense."""
    folder = home / "server"
    host, port = _address(environment.get("HAKO_LISTEN") or _LISTEN)
    return Settings(
        folder=folder,
        database_url=environment.get("HAKO_DATABASE_URL") or f"sqlite:///{folder}/server.db",
        redis_url=environment.get("HAKO_REDIS_URL", ""),
        host=host,
        port=port,
        server_url=_url("HAKO_SERVER_URL", environment.get("HAKO_SERVER_URL") or _reached(host, port)),
        processes=_number(environment, "HAKO_PROCESSES", 1, least=1),
        threads=_number(environment, "HAKO_THREADS", 64, least=4),
        proxies=_number(environment, "HAKO_PROXIES", 0, least=0),
        files=_switch(environment, "HAKO_FILE_REPOSITORIES"),
        logins=tuple(_logins(environment)),
    )


def at_port(settings: Settings, port: int) -> Settings:
    """Where the kernel chose the port, for a server that was told to listen at 0."""
    url = settings.server_url
    return replace(settings, port=port, server_url=_reached(settings.host, port) if url.endswith(":0") else url)


def _reached(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise CiError(f"HAKO_LISTEN is {text!r}", hint="write HOST:PORT", reference="bad-setting")
    return host.strip("[]"), int(port)


def _url(name: str, text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise CiError(f"{name} is {text!r}", hint="write http://HOST or https://HOST", reference="bad-setting")
    return text.rstrip("/")


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= 10_000:
        raise CiError(f"{name} is {text!r}", hint=f"write a number from {least} on", reference="bad-setting")
    return int(text)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "")
    if text.lower() not in _SWITCH:
        raise CiError(f"{name} is {text!r}", hint="write 1 or 0", reference="bad-setting")
    return _SWITCH[text.lower()]


def _logins(environment: Mapping[str, str]) -> list[Application]:
    found = []
    for name, (kind, url) in _LOGINS.items():
        client = environment.get(f"HAKO_{name}_CLIENT_ID", "")
        if not client:
            continue
        secret = environment.get(f"HAKO_{name}_CLIENT_SECRET", "")
        if not secret:
            raise CiError(f"HAKO_{name}_CLIENT_ID is set without HAKO_{name}_CLIENT_SECRET", reference="bad-setting")
        forge = _url(f"HAKO_{name}_URL", environment.get(f"HAKO_{name}_URL") or url)
        found.append(Application(forge=kind, forge_url=forge, client_id=client, client_secret=secret))
    return found
