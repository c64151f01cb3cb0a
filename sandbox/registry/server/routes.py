"""Which of the specification's endpoints a path is: `/v2/<name>/manifests/<reference>` and the like. Pure.

A repository's name has slashes, and its parts may be called `blobs` or `tags`: what follows the name is told from the
end of the path. Nothing that did not pass the grammars of `names` and `digest` leaves this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.image.digest import Digest
from sandbox.registry import names
from sandbox.registry.errors import ErrorCode
from sandbox.registry.server.refusal import Refusal

PREFIX = "/v2/"
TOKEN_PATH = "/v2/_token"  # noqa: S105  (no part of a name begins with `_`)
_NONE = Digest()
_UPLOAD_LENGTH = 36  # of a UUID
_UPLOAD = frozenset("0123456789abcdef-")


class Endpoint(StrEnum):
    """What a path names; the OCI Distribution Specification's table "Endpoints"."""

    BASE = "base"
    CATALOG = "catalog"
    TOKEN = "token"  # noqa: S105
    TAGS = "tags"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path, taken apart. What the endpoint does not have is empty."""

    endpoint: Endpoint
    repository: str = ""
    target: Digest | str = ""  # of a manifest
    digest: Digest = _NONE
    upload: str = ""


def parse(path: str) -> Route:  # noqa: PLR0911  (one for each endpoint)
    """Raises Refusal for a path that is no endpoint's, and for names and digests that are none."""
    if path in (PREFIX, PREFIX.rstrip("/")):
        return Route(endpoint=Endpoint.BASE)
    if path == TOKEN_PATH:
        return Route(endpoint=Endpoint.TOKEN)
    parts = path.removeprefix(PREFIX).split("/") if path.startswith(PREFIX) else []
    match parts:
        case ["_catalog"]:
            return Route(endpoint=Endpoint.CATALOG)
        case [*name, "tags", "list"] if name:
            return Route(endpoint=Endpoint.TAGS, repository=_repository(name))
        case [*name, "blobs", "uploads", ""] if name:
            return Route(endpoint=Endpoint.UPLOADS, repository=_repository(name))
        case [*name, "blobs", "uploads", upload] if name:
            return Route(endpoint=Endpoint.UPLOAD, repository=_repository(name), upload=_upload(upload))
        case [*name, "blobs", "uploads"] if name:  # some clients leave the slash out
            return Route(endpoint=Endpoint.UPLOADS, repository=_repository(name))
        case [*name, "blobs", digest] if name:
            return Route(endpoint=Endpoint.BLOB, repository=_repository(name), digest=_digest(digest))
        case [*name, "referrers", digest] if name:
            return Route(endpoint=Endpoint.REFERRERS, repository=_repository(name), digest=_digest(digest))
        case [*name, "manifests", target] if name:
            return Route(endpoint=Endpoint.MANIFEST, repository=_repository(name), target=_target(target))
    raise Refusal(ErrorCode.UNSUPPORTED, "no endpoint of a registry has this path", status=404)


def _repository(parts: list[str]) -> str:
    name = "/".join(parts)
    if not names.is_repository(name):
        raise Refusal(ErrorCode.NAME_INVALID, "not the name of a repository", detail={"name": name[:300]})
    return name


def _digest(text: str) -> Digest:
    try:
        return digests.parse(text)
    except InvalidError as error:
        raise Refusal(ErrorCode.DIGEST_INVALID, error.message, detail={"digest": text[:300]}) from None


def _target(text: str) -> Digest | str:
    if ":" in text:
        return _digest(text)
    if not names.is_tag(text):
        raise Refusal(ErrorCode.MANIFEST_INVALID, "not a tag", detail={"reference": text[:300]})
    return text


def _upload(text: str) -> str:
    if len(text) != _UPLOAD_LENGTH or not _UPLOAD.issuperset(text):
        raise Refusal(ErrorCode.BLOB_UPLOAD_UNKNOWN, "no such upload", detail={"upload": text[:300]})
    return text
