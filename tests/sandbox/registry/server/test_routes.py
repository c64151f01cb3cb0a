"""Paths of strangers: each is an endpoint or refused, and nothing outside of the directory is touched."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import quote

import hypothesis
from hypothesis import strategies as st

from sandbox.registry.server import routes
from sandbox.registry.server.application import Registry
from sandbox.registry.server.refusal import Refusal
from sandbox.registry.server.routes import Endpoint
from tests.sandbox.registry.server.pushes import Peer, digest_of

_WORDS = st.sampled_from(
    (
        *(
            "v2",
            "..",
            ".",
            "",
            "blobs",
            "uploads",
            "manifests",
            "tags",
            "list",
            "referrers",
            "_catalog",
            "_token",
            "_blobs",
        ),
        *("a", "a.b", "A", "\0", "%2e%2e", "*", digest_of(b""), "sha256:..", "latest", "é", "a" * 300, "0-9"),
    )
)
_PATHS = st.lists(_WORDS | st.text(max_size=8), max_size=8).map(lambda parts: "/v2/" + "/".join(parts))
_METHODS = st.sampled_from(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_NAMES = ("digest", "mount", "from", "n", "last", "artifactType", "scope", "x")
_QUERIES = st.dictionaries(st.sampled_from(_NAMES), _WORDS | st.text(max_size=8), max_size=3)
_FIELDS = ("Content-Range", "Range", "If-None-Match", "If-Range", "Content-Type", "Authorization", "Accept", "Host")
_LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
_HEADERS = st.dictionaries(st.sampled_from(_FIELDS), _LATIN | st.sampled_from(("bytes=0-", "0-9", "*")), max_size=3)


@hypothesis.given(path=_PATHS | st.text())
def test_a_path_is_an_endpoint_or_refused(path: str) -> None:
    """What the route holds has passed the grammars: no part of it leads anywhere else."""
    try:
        route = routes.parse(path)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500
        return
    assert ".." not in route.repository.split("/")
    assert not route.repository.startswith(("/", "_"))
    assert "/" not in f"{route.target}{route.digest}{route.upload}"


def test_every_endpoint_is_reached() -> None:
    """One path of each kind."""
    digest, upload = digest_of(b""), "71af03da-02fb-4968-9384-966505ebb3ea"
    paths = [
        *("", "_catalog", "_token", "a/tags/list", "a/manifests/v1", f"a/blobs/{digest}", "a/blobs/uploads/"),
        *(f"a/blobs/uploads/{upload}", f"a/referrers/{digest}"),
    ]
    assert {routes.parse(f"/v2/{path}").endpoint for path in paths} == set(Endpoint)


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    requests=st.lists(st.tuples(_METHODS, _PATHS, _QUERIES, _HEADERS, st.binary(max_size=20)), min_size=1, max_size=8)
)
def test_no_request_breaks_the_registry(
    requests: list[tuple[str, str, dict[str, str], dict[str, str], bytes]],
) -> None:
    """Any methods, paths, queries, headers and contents: an answer below 500, and nothing made elsewhere."""
    with tempfile.TemporaryDirectory(prefix="hako-registry-", dir="/tmp") as place:
        root = Path(place) / "deep" / "registry"
        peer = Peer(Registry(root))
        for method, path, query, headers, data in requests:
            response = peer(method, quote(path, safe="/"), data, query=query, headers=headers)
            assert response.status_code < 500
            if response.status_code >= 400 and method != "HEAD":
                assert peer.codes(response)
        made = {found.relative_to(place).parts for found in Path(place).rglob("*")}
        assert all(parts[:2] in {("deep",), ("deep", "registry")} for parts in made)
