"""Where a registry's name leads: its servers, mirrors first, and what each of them is trusted with.

Configured as for containerd: `certs.d/<host[:port]>/hosts.toml`, else docker's files in that folder (`*.crt`
authorities, `*.cert` with `*.key` for ourselves), else the folder `_default`. Loopback addresses are taken as docker
takes them: TLS with any certificate, else none. Called by `session`. Source: containerd, docs/hosts.md; docker's
manual, "Verify repository client with certificates".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox.errors import InvalidError
from sandbox.image.reference import DEFAULT_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCKER_HUB = "registry-1.docker.io"
PULL, RESOLVE, PUSH = "pull", "resolve", "push"
_EVERYTHING = frozenset((PULL, RESOLVE, PUSH))
_HOST_KEYS = frozenset(("capabilities", "ca", "client", "skip_verify", "override_path", "header"))
_SERVER_KEYS = _HOST_KEYS | {"server", "host"}
_FILE_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom we believe and as whom we come. `authorities` are PEM files beside the system's."""

    verify: bool = True
    authorities: tuple[str, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()  # certificate, key; the key may be in the same file


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server. `url` leads to its API, without a slash at the end: `https://host/v2`."""

    url: str
    capabilities: frozenset[str] = _EVERYTHING
    trust: Trust = field(default_factory=Trust)
    headers: tuple[tuple[str, str], ...] = ()  # of every request
    namespace: str = ""  # whose mirror it is, which it is told as containerd tells it
    may_be_plain: bool = False  # where it does not speak TLS, it may do without

    @property
    def host(self) -> str:
        """With its port, as credentials are kept."""
        return urlsplit(self.url).netloc


def search_paths(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """The certs.d folders: $HAKO_CERTS (several, joined by colons), $HAKO_HOME's, ours, containerd's, docker's."""
    given = [Path(part) for part in environment.get("HAKO_CERTS", "").split(":") if part]
    others = ("/etc/hako/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d")
    return (*given, home / "certs.d", *map(Path, others))


def endpoints(domain: str, folders: Iterable[Path], *, verify: bool = True) -> tuple[Endpoint, ...]:
    """The servers to ask in turn. `verify=False` also lets the registry itself do without TLS.

    Raises InvalidError that names the file and the key.
    """
    folder = _folder(domain, folders)
    configured = folder / "hosts.toml" if folder is not None else None
    if configured is not None and configured.is_file():
        found = _read(configured, domain)
        return found if verify else tuple(_unverified(endpoint) for endpoint in found)
    trust = _docker_files(folder) if folder is not None else Trust()
    host = DOCKER_HUB if domain == DEFAULT_DOMAIN else domain
    if verify and not (is_loopback(domain) and not trust.authorities):
        return (Endpoint(url=f"https://{host}/v2", trust=trust),)
    trust = Trust(verify=False, certificates=trust.certificates)
    return (Endpoint(url=f"https://{host}/v2", trust=trust, may_be_plain=True),)


def is_loopback(domain: str) -> bool:
    """Whether a host, with or without a port, is this one."""
    host = urlsplit(f"//{domain}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _unverified(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, trust=Trust(verify=False, certificates=endpoint.trust.certificates))


def _folder(domain: str, folders: Iterable[Path]) -> Path | None:
    """The first folder of the host; that of all hosts comes last. containerd writes `host_5000_` for `host:5000`."""
    host, colon, port = domain.partition(":")
    names = [domain, *([f"{host}_{port}_"] if colon else [])]
    places = tuple(folders)
    for path in (*(folder / name for folder in places for name in names), *(folder / "_default" for folder in places)):
        if path.is_dir():
            return path
    return None


def _docker_files(folder: Path) -> Trust:
    certificates = [(str(path), str(path.with_suffix(".key"))) for path in sorted(folder.glob("*.cert"))]
    return Trust(authorities=tuple(map(str, sorted(folder.glob("*.crt")))), certificates=tuple(certificates))


def _read(path: Path, domain: str) -> tuple[Endpoint, ...]:
    import tomllib  # noqa: PLC0415  (few hosts are configured)

    try:
        with path.open("rb") as file:
            text = file.read(_FILE_LIMIT)
        document = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path}: {error}", reference="invalid-hosts-file") from None
    except OSError as error:
        raise InvalidError(f"cannot read {path}: {(error.strerror or '').lower()}") from None
    _check_keys(path, "", document, _SERVER_KEYS)
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        raise _wrong(path, "host", 'is not a table; servers are tables like [host."https://mirror.example.com"]')
    found = []
    for url, table in hosts.items():
        where = f'host."{url}"'
        if not isinstance(table, dict):
            raise _wrong(path, where, "is not a table")
        _check_keys(path, f"{where}.", table, _HOST_KEYS)
        found.append(_endpoint(path, f"{where}.", url, table, domain))
    default = DOCKER_HUB if domain == DEFAULT_DOMAIN else domain
    server = document.get("server", f"https://{default}")
    if not isinstance(server, str):
        raise _wrong(path, "server", "is not an address")
    if urlsplit(server).netloc == DEFAULT_DOMAIN:  # as containerd's own examples have it
        server = f"https://{DOCKER_HUB}"
    own = _endpoint(path, "", server, document, domain)
    return (*found, own) if all(endpoint.url != own.url for endpoint in found) else tuple(found)


def _endpoint(path: Path, where: str, url: str, table: Mapping[str, Any], domain: str) -> Endpoint:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise _wrong(path, where.rstrip(".") or "server", f"{url!r} is not the address of a server")
    base = parts.path.rstrip("/")
    if not _switch(path, where, table, "override_path") and not base.endswith("/v2"):
        base += "/v2"
    capabilities = table.get("capabilities", list(_EVERYTHING))
    if not isinstance(capabilities, list) or not _EVERYTHING.issuperset(capabilities):
        raise _wrong(path, f"{where}capabilities", "is a list of pull, resolve and push")
    authorities = _files(path, f"{where}ca", table.get("ca", []))
    client = table.get("client", [])
    pairs = client if isinstance(client, list) else [client]
    certificates = []
    for pair in pairs:
        files = _files(path, f"{where}client", pair)
        if len(files) not in (1, 2):
            raise _wrong(path, f"{where}client", "is a list of pairs: certificate and key")
        certificates.append((files[0], files[-1]))
    is_own = parts.netloc in (domain, DOCKER_HUB if domain == DEFAULT_DOMAIN else domain)
    return Endpoint(
        url=f"{parts.scheme}://{parts.netloc}{base}",
        capabilities=frozenset(capabilities),
        trust=Trust(
            verify=not _switch(path, where, table, "skip_verify"),
            authorities=tuple(authorities),
            certificates=tuple(certificates),
        ),
        headers=_headers(path, where, table),
        namespace="" if is_own else domain,
    )


def _files(path: Path, where: str, value: object) -> list[str]:
    """Absolute paths; relative ones are beside the file."""
    found = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str) or not item:
            raise _wrong(path, where, "is not a file's path, or a list of such")
        found.append(str(path.parent / item))  # an absolute one stays
    return found


def _switch(path: Path, where: str, table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _wrong(path, f"{where}{key}", "is neither true nor false")
    return value


def _headers(path: Path, where: str, table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    headers = table.get("header", {})
    if not isinstance(headers, dict):
        raise _wrong(path, f"{where}header", "is not a table")
    found = []
    for name, value in headers.items():
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) and text.isprintable() for text in texts):
            raise _wrong(path, f"{where}header.{name}", "is not a text, or a list of texts")
        found.append((name, ", ".join(texts)))
    return tuple(found)


def _check_keys(path: Path, where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in table:
        if key not in known:
            raise _wrong(path, f"{where}{key}", f"is not known; there are {', '.join(sorted(known))}")


def _wrong(path: Path, key: str, why: str) -> InvalidError:
    return InvalidError(f"{path}: {key} {why}", reference="invalid-hosts-file")
