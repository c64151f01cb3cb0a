"""Names in the paths of registries."""

from __future__ import annotations

import pytest

from sandbox.errors import InvalidError
from sandbox.image.digest import Digest
from sandbox.registry.names import is_repository, is_tag, parse_target


@pytest.mark.parametrize("name", ["a", "a/b/c", "library/busybox", "a-b__c.d/0", "a" * 255])
def test_repositories(name: str) -> None:
    """What distribution's grammar takes is taken."""
    assert is_repository(name)


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "A", "a//b", "a..b", "..", "a/../b", "-a", "a" * 256, "a:b", "é"]
)
def test_no_repositories(name: str) -> None:
    """What could leave its folder, or is not in the grammar, is none."""
    assert not is_repository(name)


def test_targets() -> None:
    """A manifest is asked for by tag or by digest, and by nothing else."""
    digest = parse_target("sha256:" + "0" * 64)
    assert isinstance(digest, Digest)
    assert parse_target("latest") == "latest"
    assert is_tag("_a.b-C" + "d" * 122)
    for text in ("", ".", "..", "-a", "a/b", "sha256:../../x", "sha256:" + "A" * 64, "a" * 129):
        with pytest.raises(InvalidError):
            parse_target(text)
