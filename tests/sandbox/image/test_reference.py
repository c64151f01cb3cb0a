"""References, by docker's grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import InvalidError
from sandbox.image import reference as references

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("debian:bookworm-slim", "docker.io/library/debian:bookworm-slim", "debian:bookworm-slim"),
        ("hako/redis:7", "docker.io/hako/redis:7", "hako/redis:7"),
        ("a/b/c", "docker.io/a/b/c:latest", "a/b/c:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:1", "localhost:5000/x:1", "localhost:5000/x:1"),
        ("host:5000/app", "host:5000/app:latest", "host:5000/app:latest"),
        ("Registry/x", "Registry/x:latest", "Registry/x:latest"),
        ("ghcr.io/a/b_c.d__e---f:T_1.x", "ghcr.io/a/b_c.d__e---f:T_1.x", "ghcr.io/a/b_c.d__e---f:T_1.x"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("[fe80::1]/x", "[fe80::1]/x:latest", "[fe80::1]/x:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"q.io/a:1@{DIGEST}", f"q.io/a:1@{DIGEST}", f"q.io/a:1@{DIGEST}"),
    ],
)
def test_forms(text: str, canonical: str, familiar: str) -> None:
    """Canonical and familiar forms are docker's."""
    parsed = references.parse(text)
    assert (parsed.canonical, parsed.familiar) == (canonical, familiar)
    assert references.parse(parsed.familiar) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":latest",
        "Busybox",
        "busybox:",
        "busybox:-x",
        "busybox:.x",
        "busybox:" + "x" * 129,
        "busybox:a/b",
        "a//b",
        "/a",
        "a/",
        "../a",
        "a/../b",
        "a/.b",
        "a..b",
        "a___b",
        "a_-b",
        "a-",
        "-a",
        "host:port/x",
        "host:/x",
        "-host.x/y",
        "ho_st.x/y",
        "[::1/x",
        "[nonsense]/x",
        "a b",
        "a\nb",
        "ü",
        "a@sha256:abc",
        "a@",
        "a" * 256,
        "0123456789abcdef" * 4,
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """The error names the text, on one line."""
    with pytest.raises(InvalidError, match="invalid image reference") as caught:
        references.parse(text)
    assert "\n" not in caught.value.message


def test_no_default_tag() -> None:
    """A caller that means the repository gets it without a tag."""
    assert references.parse("busybox", default_tag=False).canonical == "docker.io/library/busybox"


component = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,3}", fullmatch=True)
domain = st.sampled_from(["docker.io", "localhost", "localhost:5000", "r.example.org", "10.0.0.1:80", "[::1]:5000"])
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(domain, st.lists(component, min_size=1, max_size=4), tag, st.booleans())
def test_every_reference_of_the_grammar_reads_back(host: str, path: list[str], label: str, with_digest: bool) -> None:
    """Canonical and familiar forms of any valid reference mean the same reference."""
    text = f"{host}/{'/'.join(path)}:{label}" + (f"@{DIGEST}" if with_digest else "")
    parsed = references.parse(text)
    assert references.parse(parsed.canonical) == parsed
    assert references.parse(parsed.familiar) == parsed


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9_.:/@\[\]-]{1,60}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else is raised, and what is accepted can be no path of its own."""
    try:
        parsed = references.parse(text)
    except InvalidError:
        return
    parts = parsed.canonical.split("/")
    assert all(part and part not in (".", "..") and not part.startswith((".", ":", "@")) for part in parts)
    assert parsed.canonical.isprintable()
