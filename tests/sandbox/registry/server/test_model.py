"""Any sequence of pushes, mounts, deletions and collections leaves what a registry in a few dictionaries would have."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sandbox.registry import media
from sandbox.registry.server.application import Registry
from sandbox.registry.server.limits import Limits
from tests.sandbox.registry.server.pushes import Peer, digest_of, image, index

_NAMES = st.sampled_from(("a", "a/b", "c"))
_TAGS = st.sampled_from(("v1", "v2"))
_CONTENT = st.sampled_from((b"{}", b"one", b"two"))
_LAYERS = st.lists(_CONTENT, max_size=2)


class Model(RuleBasedStateMachine):
    """The registry beside what is expected of it: blobs, manifests and tags by repository."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="hako-registry-", dir="/tmp"))
        self.registry = Registry(self.place, limits=Limits(grace=0.0))
        self.peer = Peer(self.registry)
        self.blobs: dict[str, set[bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[bytes, set[bytes]]]] = {}
        self.tags: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.place)

    @rule(name=_NAMES, data=_CONTENT)
    def push_blob(self, name: str, data: bytes) -> None:
        """In one request."""
        self.peer.blob(name, data)
        self.blobs.setdefault(name, set()).add(data)

    @rule(name=_NAMES, data=_CONTENT, cut=st.integers(0, 3))
    def push_chunks(self, name: str, data: bytes, cut: int) -> None:
        """In two chunks."""
        location = self.peer.upload(name)
        assert self.peer("PATCH", location, data[:cut]).status_code == 202
        assert self.peer("PUT", location, data[cut:], query={"digest": digest_of(data)}).status_code == 201
        self.blobs.setdefault(name, set()).add(data)

    @rule(name=_NAMES, source=_NAMES, data=_CONTENT)
    def mount(self, name: str, source: str, data: bytes) -> None:
        """Done where the source has it; otherwise an upload begins, and is given up."""
        query = {"mount": digest_of(data), "from": source}
        response = self.peer("POST", f"/v2/{name}/blobs/uploads/", query=query)
        if data in self.blobs.get(source, set()):
            assert response.status_code == 201
            self.blobs.setdefault(name, set()).add(data)
        else:
            assert response.status_code == 202
            self.peer("DELETE", response.headers["Location"])

    @rule(name=_NAMES, data=_CONTENT)
    def delete_blob(self, name: str, data: bytes) -> None:
        """Accepted where it is there."""
        there = data in self.blobs.get(name, set())
        status = self.peer("DELETE", f"/v2/{name}/blobs/{digest_of(data)}").status_code
        assert status == (202 if there else 404)
        self.blobs.get(name, set()).discard(data)

    @rule(name=_NAMES, tag=_TAGS, layers=_LAYERS)
    def push_manifest(self, name: str, tag: str, layers: list[bytes]) -> None:
        """Accepted where all its blobs are there."""
        manifest, needed = image(b"{}", layers), {b"{}", *layers}
        self._put(name, tag, manifest, media.MANIFEST, needed, accepted=needed <= self.blobs.get(name, set()))

    @rule(name=_NAMES, tag=_TAGS, layers=_LAYERS)
    def push_index(self, name: str, tag: str, layers: list[bytes]) -> None:
        """Accepted where its manifest is there."""
        manifest = image(b"{}", layers)
        there = digest_of(manifest) in self.manifests.get(name, {})
        self._put(name, tag, index(manifest), media.INDEX, set(), accepted=there)

    def _put(self, name: str, tag: str, data: bytes, media_type: str, needed: set[bytes], *, accepted: bool) -> None:
        headers = {"Content-Type": media_type}
        status = self.peer("PUT", f"/v2/{name}/manifests/{tag}", data, headers=headers).status_code
        assert status == (201 if accepted else 404)
        if accepted:
            self.manifests.setdefault(name, {})[digest_of(data)] = (data, needed)
            self.tags[name, tag] = digest_of(data)

    @rule(name=_NAMES, tag=_TAGS)
    def delete_tag(self, name: str, tag: str) -> None:
        """Accepted where it is there."""
        status = self.peer("DELETE", f"/v2/{name}/manifests/{tag}").status_code
        assert status == (202 if (name, tag) in self.tags else 404)
        self.tags.pop((name, tag), None)

    @rule(name=_NAMES, tag=_TAGS)
    def delete_manifest(self, name: str, tag: str) -> None:
        """By the digest that a tag names, with all tags of that."""
        digest = self.tags.get((name, tag))
        if digest is not None:
            assert self.peer("DELETE", f"/v2/{name}/manifests/{digest}").status_code == 202
            del self.manifests[name][digest]
            self.tags = {key: value for key, value in self.tags.items() if key[0] != name or value != digest}

    @rule()
    def collect(self) -> None:
        """Only what a manifest refers to stays of the blobs; those deleted behind a manifest's back stay deleted."""
        self.registry.collect()
        # What was claimed in the same moment as the collection began may stay: a second one, later, takes it.
        self.registry.collect()
        for name, held in self.blobs.items():
            needed = set[bytes]().union(*(needed for _, needed in self.manifests.get(name, {}).values()))
            young = {data for data in held - needed if self._has(name, data)}
            self.blobs[name] = (held & needed) | young

    def _has(self, name: str, data: bytes) -> bool:
        return (self.place / "repositories" / name / "_blobs" / digest_of(data).hex).exists()

    @invariant()
    def agree(self) -> None:
        """What can be pulled, and what cannot."""
        for name in ("a", "a/b", "c"):
            for data in (b"{}", b"one", b"two"):
                response = self.peer("GET", f"/v2/{name}/blobs/{digest_of(data)}")
                assert (response.status_code == 200) == (data in self.blobs.get(name, set()))
            for tag in ("v1", "v2"):
                response = self.peer("GET", f"/v2/{name}/manifests/{tag}")
                digest = self.tags.get((name, tag))
                assert (response.status_code == 200) == (digest is not None)
                if digest is not None:
                    assert response.data == self.manifests[name][digest][0]


@pytest.mark.slow
def test_any_sequence() -> None:
    """25 sequences of 25 steps, each step followed by a look at everything."""
    run_state_machine_as_test(Model, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
