"""What a git URL of a build says: repository, ref, folder, and how to take it. Pure.

`https://host/repo.git#REF:FOLDER`, `git@host:repo.git#…`, and the query form `?branch=B&subdir=D`. Whatever names a
program, a file of the host or an option of git is none: the repository comes from a Dockerfile or a `.gitmodules` that
anybody may have written. Source: docker's manual "Build context", "URL fragments" and "URL queries".
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from sandbox.dockerfile.diagnostics import did_you_mean
from sandbox.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMES = ("https", "http", "ssh", "git")
_SCP = re.compile(r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9_][A-Za-z0-9_.-]*):(?P<path>[^-/].*|/.*)")
_HOST = re.compile(
    r"(?:[A-Za-z0-9_.~%!$&'()*+,;=:-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
)
_REF = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./+@=,%#-]*")
COMMIT = re.compile(r"[0-9a-f]{1,64}")  # or the beginning of one
_QUERY = ("ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules")
_SHORT = "github.com/"


class GitUrl(NamedTuple):
    """`ref` empty is the default branch, `folder` is clean and relative, empty for the root.

    `checksum` is the beginning of the commit that it has to be.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True

    @property
    def host(self) -> str:
        """`https://host`, to which a token is sent; empty for ssh."""
        parts = urlsplit(self.remote)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme in ("http", "https") else ""


def parse_git_url(text: str, *, short: bool = False) -> GitUrl | None:
    """The URL, None for what is no repository's: over http its path ends in `.git`. InvalidError for one that is odd.

    With `short`, `github.com/…` is one too, which as a source of ADD is a path.
    """
    if short and text.startswith(_SHORT):
        text = f"https://{text}"
    base, _, fragment = text.partition("#")
    base, _, query = base.partition("?")
    scheme = base.partition("://")[0] if "://" in base else ""
    if scheme in ("http", "https") and not (base.endswith(".git") or (short and base.startswith(f"https://{_SHORT}"))):
        return None
    if scheme not in SCHEMES and (scheme or not _SCP.fullmatch(base)):
        return None
    if query and fragment:
        raise InvalidError(f"{text!r} has both a fragment and a query", hint="write either #REF:FOLDER or ?ref=REF")
    check_remote(base)
    return _queried(base, query, text) if query else _with_fragment(base, fragment, text)


def check_remote(remote: str) -> None:
    """Refuse a repository that is not on a host over https, http, ssh or git's own protocol."""
    if all(character.isprintable() and character != " " for character in remote):
        scheme, separator, rest = remote.partition("://")
        if separator:
            host, slash, _ = rest.partition("/")
            if scheme in SCHEMES and slash and _HOST.fullmatch(host):
                return
        elif _SCP.fullmatch(remote):
            return
    raise InvalidError(
        f"{remote!r} is not a repository to build from", hint=f"its URL begins with {', '.join(SCHEMES)} or user@host:"
    )


def without_password(remote: str) -> str:
    """The repository as it may be shown and kept."""
    scheme, separator, rest = remote.partition("://")
    host, slash, path = rest.partition("/")
    user, _, name = host.rpartition("@")
    return f"{scheme}://{name}{slash}{path}" if separator and ":" in user else remote


def submodule_remote(parent: str, url: str) -> str:
    """The repository of a submodule; `./` and `../` are relative to its parent's, as git has it.

    InvalidError for others than `check_remote` knows.
    """
    if url.startswith(("./", "../")):
        scheme, separator, rest = parent.partition("://")
        if separator:
            host, _, path = rest.partition("/")
            before, path = f"{scheme}://{host}/", f"/{path}"
        else:
            host, _, path = parent.partition(":")
            before = f"{host}:"
        joined = posixpath.normpath(posixpath.join(path.rstrip("/"), url))
        if joined.startswith(".."):
            raise InvalidError(f"submodule {url!r} leads out of {parent}")
        url = before + (joined.lstrip("/") if separator else joined)
    check_remote(url)
    return url


def _with_fragment(remote: str, fragment: str, text: str) -> GitUrl:
    ref, _, folder = fragment.partition(":")
    return GitUrl(remote, _ref(ref, text), _folder(folder))


def _queried(remote: str, query: str, text: str) -> GitUrl:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _QUERY:
            raise InvalidError(
                f"unknown query {name!r} of {text!r}",
                hint=did_you_mean(name, _QUERY) or f"there are {', '.join(_QUERY)}",
            )
        if name in given:
            raise InvalidError(f"{text!r} says {name} twice")
        given[name] = value
    refs = [
        prefix + given[name]
        for name, prefix in (("ref", ""), ("tag", "refs/tags/"), ("branch", "refs/heads/"))
        if given.get(name)
    ]
    checksum = given.get("checksum") or given.get("commit") or ""
    if len(refs) > 1 or (given.get("checksum") and given.get("commit")):
        raise InvalidError(f"{text!r} says in two ways which commit it means")
    if checksum and not COMMIT.fullmatch(checksum):
        raise InvalidError(f"{checksum!r} is not a commit, nor the beginning of one")
    return GitUrl(
        remote,
        _ref(refs[0], text) if refs else (checksum if len(checksum) >= 40 else ""),
        _folder(given.get("subdir", "")),
        checksum,
        _switch(given, "keep-git-dir", default=False),
        _switch(given, "submodules", default=True),
    )


def _ref(ref: str, text: str) -> str:
    """What can be a branch, tag or commit: neither an option nor a refspec, `git check-ref-format` in short."""
    if ref and (not _REF.fullmatch(ref) or ".." in ref or "@{" in ref or ref.endswith((".lock", "/", "."))):
        raise InvalidError(f"{ref!r} in {text!r} is not a branch, tag or commit")
    return ref


def _folder(folder: str) -> str:
    clean = posixpath.normpath("/" + folder).lstrip("/")
    if "\0" in folder or ".git" in clean.lower().split("/"):
        raise InvalidError(f"{folder!r} is not a folder of a repository")
    return clean


def _switch(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = given.get(name, "true" if default else "false").lower()
    if value not in ("", "1", "true", "0", "false"):
        raise InvalidError(f"{name} is true or false, not {value!r}")
    return value in ("", "1", "true")
