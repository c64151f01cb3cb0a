"""Where an image comes from that is not in the store: which names are made here, and how; all others are a registry's.

Two kinds are built in: `busybox` (any tag) and `debian:<suite>`, also `-slim`. `images.toml` names more, and may say
otherwise:

    prefer = "registry"             # busybox and debian, too; made here where no registry answers

    [images."hako/redis:7"]
    bootstrap = "debian:bookworm"
    include = ["redis-server"]
    command = ["redis-server", "--protected-mode", "no"]

    [images."golang:1.23"]
    registry = "registry.example.com/mirror/golang:1.23"

Called by `sandbox bootstrap`, by `run` and by the runners when an image is missing. tomllib is loaded when there is a
file.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.errors import InvalidError, SandboxError
from sandbox.image import reference as references
from sandbox.image.config import ImageConfig
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.image.digest import Digest
    from sandbox.image.reference import Reference

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SLIM = "-slim"
# The numbers and names that Debian's images go by, and the suite that each means.
_RELEASES: Mapping[str, str] = {
    "latest": "stable",
    "10": "buster",
    "11": "bullseye",
    "12": "bookworm",
    "13": "trixie",
    "14": "forky",
}
_REGISTRY = "registry"
_KEYS = frozenset(
    (
        _REGISTRY,
        "bootstrap",
        "include",
        "entrypoint",
        "command",
        "environment",
        "user",
        "working_dir",
        "labels",
        "ports",
        "stop_signal",
    )
)
_SUITE = frozenset("abcdefghijklmnopqrstuvwxyz")
_PACKAGE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+-.:")


class Maker(StrEnum):
    """What makes an image's root file system."""

    BUSYBOX = "busybox"
    DEBIAN = "debian"


class Source(NamedTuple):
    """How to make the image `reference` (canonical). `suite`, `slim` and `include` are Debian's; `config` is the
    image's.
    """

    reference: str
    maker: Maker
    config: ImageConfig
    suite: str = ""
    slim: bool = False
    include: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        """Of everything that decides what the image is like: of all but its name."""
        import json  # noqa: PLC0415  (a missing image only)

        from sandbox.image import config, digest  # noqa: PLC0415

        parts = [self.maker, self.suite, self.slim, sorted(self.include), config.dump(self.config)]
        return digest.of(json.dumps(parts, sort_keys=True).encode("utf-8"))


class Remote(NamedTuple):
    """An image of a registry. `reference` (canonical) is what is pulled; `instead` is how it is made where no registry
    answers.
    """

    reference: str
    instead: Source | None = None


class Sources:
    """The configured images; the built-in ones come after them. `prefer_registry` is for those."""

    def __init__(
        self, configured: Mapping[str, Source | Remote] | None = None, *, prefer_registry: bool = False
    ) -> None:
        self._configured = dict(configured or {})
        self._prefer_registry = prefer_registry

    @classmethod
    def load(cls, paths: Iterable[Path]) -> Sources:
        """Read `images.toml` files; a name in an earlier one counts, missing files do not matter.

        Raises InvalidError that names the file and the key.
        """
        configured: dict[str, Source | Remote] = {}
        prefer = ""
        for path in paths:
            try:
                text = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise SandboxError(f"cannot read {path}: {(error.strerror or '').lower()}") from error
            sources, preferred = _read(path, text)
            for name, source in sources.items():
                configured.setdefault(name, source)
            prefer = prefer or preferred
        return cls(configured, prefer_registry=prefer == _REGISTRY)

    def find(self, name: str) -> Source | None:
        """How the image is made; `None` for one that is not made here. Raises InvalidError for a malformed name."""
        parsed = references.parse(name)
        if parsed.digest:
            return None
        configured = self._configured.get(parsed.canonical)
        if isinstance(configured, Remote):
            return None
        return configured or built_in(parsed)

    def origin(self, name: str) -> Source | Remote:
        """Where the image comes from when somebody misses it. Raises InvalidError for a malformed name."""
        parsed = references.parse(name)
        configured = None if parsed.digest else self._configured.get(parsed.canonical)
        if configured is not None:
            return configured
        source = self.find(name)
        if source is not None and not self._prefer_registry:
            return source
        return Remote(parsed.canonical, source)

    def names(self) -> tuple[str, ...]:
        """The configured names in familiar form."""
        return tuple(sorted(references.parse(name).familiar for name in self._configured))


def search_paths(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Where `images.toml` is looked for: $HAKO_IMAGES (several, joined by colons), then $HAKO_HOME, then /etc/hako."""
    given = [Path(part) for part in environment.get("HAKO_IMAGES", "").split(":") if part]
    return (*given, home / "images.toml", Path("/etc/hako/images.toml"))


def built_in(reference: Reference) -> Source | None:
    """The source of an image that needs no configuration."""
    if reference.domain != references.DEFAULT_DOMAIN:
        return None
    name = reference.canonical
    if reference.path == "library/busybox":
        config = ImageConfig(command=("sh",), environment={"PATH": SEARCH_PATH})
        return Source(name, Maker.BUSYBOX, config)
    if reference.path == "library/debian":
        suite = reference.tag.removesuffix(SLIM)
        suite = _RELEASES.get(suite, suite)
        if not _SUITE.issuperset(suite) or not suite:
            return None
        config = ImageConfig(command=("bash",), environment={"PATH": SEARCH_PATH})
        return Source(name, Maker.DEBIAN, config, suite, reference.tag.endswith(SLIM))
    return None


def _read(path: Path, text: bytes) -> tuple[dict[str, Source | Remote], str]:
    """The images of a file, and what it prefers."""
    import tomllib  # noqa: PLC0415

    try:
        document = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path}: {error}", reference="invalid-images-file") from None
    tables = document.pop("images", {})
    prefer = document.pop("prefer", "")
    if prefer not in ("", _REGISTRY, "bootstrap"):
        raise _wrong(path, "prefer", f'is {prefer!r}, neither "registry" nor "bootstrap"')
    if document:
        raise _wrong(path, next(iter(document)), 'is not known; images are tables like [images."name:tag"]')
    if not isinstance(tables, dict):
        raise _wrong(path, "images", "is not a table")
    sources: dict[str, Source | Remote] = {}
    for name, table in tables.items():
        reference, source = _entry(path, name, table)
        if reference in sources:
            raise _wrong(path, f'images."{name}"', f"means {reference}, which is there twice")
        sources[reference] = source
    return sources, prefer


def _entry(path: Path, name: str, table: object) -> tuple[str, Source | Remote]:
    """The canonical name of an image, and where it comes from."""
    where = f'images."{name}"'
    if not isinstance(table, dict):
        raise _wrong(path, where, "is not a table")
    for key in table:
        if key not in _KEYS:
            raise _wrong(path, f"{where}.{key}", f"is not known; there are {', '.join(sorted(_KEYS))}")
    try:
        reference = references.parse(name)
    except InvalidError as error:
        raise _wrong(path, where, error.message) from None
    if reference.digest:
        raise _wrong(path, where, "cannot have a digest: what is made here has the digest that comes out")
    if _REGISTRY in table:
        return reference.canonical, _remote(path, where, table)
    return reference.canonical, _source(path, where, table)._replace(reference=reference.canonical)


def _remote(path: Path, where: str, table: Mapping[str, Any]) -> Remote:
    if len(table) > 1:
        raise _wrong(path, where, "comes from a registry as it is; leave the other keys out")
    try:
        return Remote(references.parse(_string(path, where, table, _REGISTRY)).canonical)
    except InvalidError as error:
        raise _wrong(path, f"{where}.{_REGISTRY}", error.message) from None


def _source(path: Path, where: str, table: Mapping[str, Any]) -> Source:
    base = table.get("bootstrap")
    if not isinstance(base, str):
        raise _wrong(path, f"{where}.bootstrap", 'is missing; give "busybox" or "debian:bookworm"')
    try:
        found = built_in(references.parse(base))
    except InvalidError as error:
        raise _wrong(path, f"{where}.bootstrap", error.message) from None
    if found is None:
        raise _wrong(path, f"{where}.bootstrap", f'is {base!r}; there are "busybox" and "debian:<suite>"')
    include = _strings(path, where, table, "include")
    if include and found.maker is not Maker.DEBIAN:
        raise _wrong(path, f"{where}.include", "needs a Debian root to install packages in")
    for package in include:
        if not package or not _PACKAGE.issuperset(package) or package[0] in "+-.:":
            raise _wrong(path, f"{where}.include", f"{package!r} is not the name of a package")
    return found._replace(include=include, config=_config(path, where, table, found.config))


def _config(path: Path, where: str, table: Mapping[str, Any], base: ImageConfig) -> ImageConfig:
    """The configuration of the root's own image, with what the table says."""
    ports = _strings(path, where, table, "ports")
    return ImageConfig(
        entrypoint=_strings(path, where, table, "entrypoint"),
        command=_strings(path, where, table, "command") if "command" in table else base.command,
        environment={**base.environment, **_mapping(path, where, table, "environment")},
        user=_string(path, where, table, "user"),
        working_dir=_string(path, where, table, "working_dir"),
        labels=_mapping(path, where, table, "labels"),
        exposed_ports=tuple(port if "/" in port else f"{port}/tcp" for port in ports),
        stop_signal=_string(path, where, table, "stop_signal"),
    )


def _strings(path: Path, where: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(path, f"{where}.{key}", "is not a list of strings")
    return tuple(value)


def _string(path: Path, where: str, table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise _wrong(path, f"{where}.{key}", "is not a string")
    return value


def _mapping(path: Path, where: str, table: Mapping[str, Any], key: str) -> dict[str, str]:
    value = table.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _wrong(path, f"{where}.{key}", "is not a table of strings")
    return dict(value)


def _wrong(path: Path, key: str, why: str) -> InvalidError:
    return InvalidError(f"{path}: {key} {why}", reference="invalid-images-file")
