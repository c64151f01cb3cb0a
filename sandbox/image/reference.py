"""Image references as docker reads them: `busybox` is `docker.io/library/busybox:latest`.

The grammar is that of distribution/reference (`reference.go`, `normalize.go`); it is written out by hand because
compiling its regular expressions would cost more than the rest of `sandbox run`'s look-up. Canonical text names files
of the store, so nothing is accepted that could be a path of its own.
"""

from __future__ import annotations

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.records import NamedTuple

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
MAX_PATH = 255  # distribution/reference: RepositoryNameTotalLengthMax
MAX_TAG = 128
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ALPHANUMERIC = _LOWER | _UPPER
_TAG = _ALPHANUMERIC | frozenset("_.-")


class Reference(NamedTuple):
    """A parsed reference. `tag` or `digest` may be empty, never both unless `parse` was told to leave the tag out."""

    domain: str  # docker.io, localhost:5000
    path: str  # library/busybox
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository with its domain: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: `busybox`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(OFFICIAL)
        short = self.path if "/" in rest else rest
        return (
            short if _split_domain(short) == (DEFAULT_DOMAIN, short) else self.name
        )  # docker.io/a.b/c is not host a.b's

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def canonical(self) -> str:
        """The complete form: `docker.io/library/busybox:latest`."""
        return self.name + self._suffix()

    @property
    def familiar(self) -> str:
        """The form people write: `busybox:latest`."""
        return self.familiar_name + self._suffix()

    def __str__(self) -> str:
        return self.familiar


def parse(text: str, *, default_tag: bool = True) -> Reference:
    """Read a reference; without tag and digest it gets `latest`. Raises InvalidError with the text and the rule."""
    if not isinstance(text, str) or not text:
        raise _invalid(text, "it is empty")
    rest, at, digest = text.partition("@")
    if at:
        try:
            digests.parse(digest)
        except InvalidError:
            raise _invalid(text, "what follows @ is not a sha256 digest") from None
    domain, path = _split_domain(rest)
    path, tag = _split_tag(text, path)
    if domain == DEFAULT_DOMAIN and path and "/" not in path:
        path = OFFICIAL + path
    _check_domain(text, domain)
    _check_path(text, path)
    bare = not at and not tag and path.startswith(OFFICIAL) and domain == DEFAULT_DOMAIN
    if bare and len(rest) == digests.HEX_LENGTH and digests.is_hex(rest):
        raise _invalid(text, "64 hexadecimal figures are an image's id, not a name")
    if not tag and not at and default_tag:
        tag = DEFAULT_TAG
    return Reference(domain, path, tag, digest)


def _split_domain(text: str) -> tuple[str, str]:
    """Docker's rule: the first part is a domain if it has a dot, a colon or a capital letter, or is `localhost`."""
    first, slash, rest = text.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        return DEFAULT_DOMAIN, text
    return (DEFAULT_DOMAIN if first == LEGACY_DOMAIN else first), rest


def _split_tag(text: str, path: str) -> tuple[str, str]:
    head, slash, last = path.rpartition("/")
    last, colon, tag = last.partition(":")
    if not colon:
        return path, ""
    if not is_tag(tag):
        raise _invalid(
            text, "a tag has up to 128 letters, figures, '_', '.' and '-', and begins with a letter, figure or '_'"
        )
    return head + slash + last, tag


def _check_domain(text: str, domain: str) -> None:
    host, colon, port = domain.partition(":")
    if domain.startswith("["):
        host, bracket, rest = domain[1:].partition("]")
        ipv6 = bracket and ":" in host and frozenset("0123456789abcdefABCDEF:.").issuperset(host)
        if not ipv6 or (rest and not (rest[0] == ":" and _is_port(rest[1:]))):
            raise _invalid(text, "the host is not an IPv6 address in brackets")
        return
    if colon and not _is_port(port):
        raise _invalid(text, "the port is not a number")
    for label in host.split("."):
        if not label or label[0] == "-" or label[-1] == "-" or not (_ALPHANUMERIC | {"-"}).issuperset(label):
            raise _invalid(text, f"{host!r} is not a host name")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()


def is_tag(text: str) -> bool:
    """Whether it is a tag."""
    return bool(text) and len(text) <= MAX_TAG and text[0] not in ".-" and _TAG.issuperset(text)


def is_path(text: str) -> bool:
    """Whether it names a repository within a registry: `library/busybox`."""
    return len(text) <= MAX_PATH and all(map(_is_component, text.split("/")))


def _check_path(text: str, path: str) -> None:
    if len(path) > MAX_PATH:
        raise _invalid(text, f"the name is longer than {MAX_PATH} characters")
    for component in path.split("/"):
        if _UPPER.intersection(component):
            raise _invalid(text, "the name of a repository is lower case")
        if not _is_component(component):
            raise _invalid(
                text,
                "each part of a name has lower-case letters and figures, joined by '.', '_', '__' or any number of '-'",
            )


def _is_component(component: str) -> bool:
    if not component or component[0] not in _LOWER or component[-1] not in _LOWER:
        return False
    separator = ""
    for character in component:
        if character not in _LOWER:
            separator += character
        elif separator:
            if separator not in (".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
    return True


def _invalid(text: object, why: str) -> InvalidError:
    return InvalidError(f"invalid image reference {str(text)[:300]!r}: {why}", reference="invalid-reference")
