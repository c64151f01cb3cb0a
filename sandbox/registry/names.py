"""What the paths of the OCI Distribution specification are made of: `/v2/<name>/manifests/<reference>` and the like.

The grammar of names and tags is `image.reference`'s, that of digests `image.digest`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.image import digest as digests
from sandbox.image import reference as references

if TYPE_CHECKING:
    from sandbox.image.digest import Digest

is_repository = references.is_path
is_tag = references.is_tag


def parse_target(text: str) -> Digest | str:
    """The `<reference>` of a manifest: a Digest, or a tag. Raises InvalidError."""
    if ":" in text:
        return digests.parse(text)
    if not is_tag(text):
        raise InvalidError(f"not a tag: {text[:200]!r}", reference="invalid-tag")
    return text
