"""What a git URL says, and what is none."""

from __future__ import annotations

import pytest

from sandbox.builder.giturl import GitUrl, check_remote, parse_git_url, submodule_remote, without_password
from sandbox.errors import InvalidError

H = "https://h/r.git"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (H, GitUrl(H)),
        (f"{H}#v1:docs/", GitUrl(H, "v1", "docs")),
        (f"{H}#:../a/./b", GitUrl(H, "", "a/b")),
        (f"{H}?branch=b&subdir=d", GitUrl(H, "refs/heads/b", "d")),
        (f"{H}?tag=t&checksum=ab12", GitUrl(H, "refs/tags/t", "", "ab12")),
        (f"{H}?commit={'a' * 40}", GitUrl(H, "a" * 40, "", "a" * 40)),
        (f"{H}?ref=pull/4/head&keep-git-dir=true&submodules=0", GitUrl(H, "pull/4/head", "", "", True, False)),
        ("git@h:o/r.git#main", GitUrl("git@h:o/r.git", "main")),
        ("me@h:r", GitUrl("me@h:r")),
        ("ssh://git@h:22/r", GitUrl("ssh://git@h:22/r")),
        ("git://h/r", GitUrl("git://h/r")),
        ("https://u:p@h/r.git", GitUrl("https://u:p@h/r.git")),
        ("https://h/file.tar.gz", None),
        ("https://h/r.git/file", None),
        ("folder/x.git", None),
        ("github.com/o/r", None),
        ("./git@h:x", None),
        ("file:///r.git", None),
        ("ext::sh -c id", None),
    ],
)
def test_urls(text: str, expected: GitUrl | None) -> None:
    """Fragments and queries of BuildKit; a path of the host or a file behind http is no repository."""
    assert parse_git_url(text) == expected


def test_the_short_form_is_for_contexts() -> None:
    """`github.com/…` is a path elsewhere."""
    assert parse_git_url("github.com/o/r#x", short=True) == GitUrl("https://github.com/o/r", "x")


@pytest.mark.parametrize(
    "text",
    [
        f"{H}#--upload-pack=touch",
        f"{H}#-x",
        f"{H}#a..b",
        f"{H}#+refs/heads/*",
        f"{H}#x y",
        f"{H}?nothing=1",
        f"{H}?tag=a&branch=b",
        f"{H}?tag=a&tag=b",
        f"{H}?checksum=xyz",
        f"{H}?tag=a#b",
        f"{H}#:.git/hooks",
        f"{H}?submodules=perhaps",
        "https://-oProxyCommand=x/r.git",
        "ssh://-oProxyCommand=x/r",
        "https://h\n/r.git",
        "git://h",
    ],
)
def test_what_is_refused(text: str) -> None:
    """Options and refspecs in a ref or host, what means two things, and git's own folder."""
    with pytest.raises(InvalidError):
        parse_git_url(text)


@pytest.mark.parametrize(
    ("parent", "url", "expected"),
    [
        (H, "../s.git", "https://h/s.git"),
        ("https://h/o/r.git", "./s", "https://h/o/r.git/s"),
        ("git@h:o/r.git", "../s", "git@h:o/s"),
        (H, "https://other/s", "https://other/s"),
    ],
)
def test_submodules(parent: str, url: str, expected: str) -> None:
    """A relative one is beside its parent."""
    assert submodule_remote(parent, url) == expected


@pytest.mark.parametrize(
    "url", ["ext::sh -c id", "file:///etc", "/etc", "-u", "--upload-pack=x", "fd::7", "../../x", "h:r", "ssh://-x/r"]
)
def test_hostile_submodules(url: str) -> None:
    """Nothing names a program, a file of the host or an option; none leads above its server."""
    with pytest.raises(InvalidError):
        submodule_remote("git@h:r.git", url)


def test_hosts() -> None:
    """Numbers, ports and users are hosts, a path is none."""
    for remote in ("http://[::1]:80/r", "ssh://me@h/r", "http://127.0.0.1:9/r"):
        check_remote(remote)


def test_passwords_are_not_shown() -> None:
    """They go with the user; a user alone, as of ssh, stays."""
    for remote in ("ssh://git@h/r", "git@h:a:b", "https://h/r"):
        assert without_password(remote) == remote
    assert without_password("https://u:p@h:1/r@x") == "https://h:1/r@x"
