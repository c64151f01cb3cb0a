"""Quotas: of each repository, of one, of a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.registry.server.application import Registry
from tests.sandbox.registry.server.pushes import Peer, digest_of

if TYPE_CHECKING:
    from pathlib import Path


def refused(peer: Peer, name: str, data: bytes, way: str = "post") -> bool:
    """Whether a blob is refused for the quota."""
    if way == "post":
        response = peer("POST", f"/v2/{name}/blobs/uploads/", data, query={"digest": digest_of(data)})
    else:
        response = peer("PATCH", peer.upload(name), data)
    if response.status_code < 300:
        return False
    assert (response.status_code, peer.codes(response)) == (403, ["DENIED"])
    return True


@pytest.mark.parametrize("way", ["post", "patch"])
def test_a_repository_that_is_full(root: Path, way: str) -> None:
    """A blob over the quota is 403 with DENIED, in whatever way it comes; one that fits is taken."""
    peer = Peer(Registry(root, quotas={"team/app": 10}))
    assert not refused(peer, "team/app", b"12345678")
    assert refused(peer, "team/app", b"abc", way)
    assert not refused(peer, "team/app", b"ab", way)
    assert not refused(peer, "team/application", b"x" * 100)


def test_a_namespace_that_is_full(root: Path) -> None:
    """The quota of a name is that of the repository and all below it together."""
    peer = Peer(Registry(root, quotas={"team": 10}))
    assert not refused(peer, "team/a", b"12345")
    assert not refused(peer, "team/b/c", b"6789")
    assert refused(peer, "team", b"ab")
    assert not refused(peer, "teams", b"x" * 100)


def test_each_repository_has_a_quota(root: Path) -> None:
    """`*` counts for every repository by itself; the least of several quotas counts."""
    peer = Peer(Registry(root, quotas={"*": 10, "small": 3}))
    assert not refused(peer, "a", b"1234567890")
    assert not refused(peer, "b", b"1234567890")
    assert refused(peer, "a", b"x")
    assert refused(peer, "small", b"1234")


def test_a_mount_counts(root: Path) -> None:
    """What is mounted takes from the quota of the repository that gets it."""
    peer = Peer(Registry(root, quotas={"small": 3}))
    digest = peer.blob("source", b"1234")
    response = peer("POST", "/v2/small/blobs/uploads/", query={"mount": digest, "from": "source"})
    assert (response.status_code, peer.codes(response)) == (403, ["DENIED"])
    fits = peer.blob("source", b"123")
    for _ in range(2):  # the second time it is there already
        assert peer("POST", "/v2/small/blobs/uploads/", query={"mount": fits, "from": "source"}).status_code == 201
    anywhere = Peer(Registry(root, quotas={"tiny": 2}, mounts_anything=True))
    assert anywhere("POST", "/v2/tiny/blobs/uploads/", query={"mount": fits}).status_code == 403


def test_deletions_make_room(root: Path) -> None:
    """A deleted blob counts no more, at once."""
    peer = Peer(Registry(root, quotas={"a": 10}))
    digest = peer.blob("a", b"1234567890")
    assert refused(peer, "a", b"x")
    peer("DELETE", f"/v2/a/blobs/{digest}")
    assert not refused(peer, "a", b"0987654321")
