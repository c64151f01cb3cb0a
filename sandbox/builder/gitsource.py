"""Files of a git repository: one commit and its submodules, as archives that the store unpacks.

No working tree is checked out: the commit is fetched into a bare repository, and `git archive` writes it for the one
parser of archives that there is, with its limits. So no hook, no filter, no link and no `.git` of the repository's own
making (CVE-2024-32002) is ever looked at. git runs without anybody's configuration; only https, http, ssh and git's own
protocol are allowed, for redirects and submodules too. Called for contexts and for ADD.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from sandbox.builder.giturl import SCHEMES, GitUrl, submodule_remote, without_password
from sandbox.errors import InvalidError, LimitError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

_COMMIT = re.compile(r"[0-9a-f]{4,64}")  # or the beginning of one
_FILE_LIMIT = 16 << 30  # bytes of one pack
_SUBMODULES = 200
_NESTED = 10
_TREE = b"040000 "  # mode of a tree's entry that is a folder, not a link to one
_GITLINK = b"160000 "  # mode of one that is another repository's commit
_SAID = 2000  # characters of what git says
_SSH = "ssh -F none -o BatchMode=yes -o PermitLocalCommand=no -o ConnectTimeout=30 -o ServerAliveInterval=30"
_SETTINGS = {
    "advice.detachedHead": "false",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.sshCommand": _SSH,
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "tar.umask": "0022",
    "transfer.fsckObjects": "true",
    "fetch.fsck.zeroPaddedFilemode": "ignore",  # old repositories have it, and it does no harm
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.badTimezone": "ignore",
}
_INHERITED = tuple(
    variant
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "git_ssl_cainfo")
    for variant in (name, name.upper())
)
_BY_SSH = "Could not read from remote repository"  # what stands above is ssh's own, and says why
_UNKNOWN_HOST = b"Host key verification failed"
_PRIVATE = (b"could not read Username", b"Authentication failed", b"Permission denied", b"403")
_ATTRIBUTES = "* -export-ignore -export-subst -filter\n"  # an archive has what a checkout would have


class Access(NamedTuple):
    """How a private repository is reached: over http by a `token` or `header`, by ssh with an agent's socket."""

    token: str = ""
    header: str = ""
    agent: str = ""


class Part(NamedTuple):
    """A commit, and where it lies: a submodule's `prefix` is its folder, empty for the repository itself."""

    repository: Path
    commit: str
    prefix: str


class Repository:
    """A fetched repository. `parts` are its commit and those of its submodules, parents first."""

    def __init__(self, url: GitUrl, folder: Path, parts: tuple[Part, ...], git: _Git) -> None:
        self.url = url
        self.folder = folder
        self.parts = parts
        self._git = git

    @property
    def commit(self) -> str:
        """Which commit it is."""
        return self.parts[0].commit

    @contextmanager
    def archive(self, part: Part) -> Iterator[IO[bytes]]:
        """The part's files as a tar, each with the time of the commit. InvalidError when git cannot write it."""
        words = ["archive", "--format=tar", *([f"--prefix={part.prefix}/"] if part.prefix else []), part.commit]
        with self._git.started(part.repository, words, errors=subprocess.DEVNULL) as process:
            stream = cast("IO[bytes]", process.stdout)
            yield stream
            stream.close()
            if process.wait():
                raise InvalidError(f"git cannot write the files of {self.url.remote}")

    def keep_git_dir(self) -> Path:
        """A folder with the repository's `.git`, as a clone of one commit has it: the time of nothing is in it."""
        outer = self.folder / os.urandom(8).hex()
        outer.mkdir()
        git_dir, part = outer / ".git", self.parts[0]
        self._git.run(self.folder, ["init", "--quiet", "--template=", str(outer)])
        origin = f"url = {without_password(self.url.remote)}\n\tfetch = +refs/heads/*:refs/remotes/origin/*"
        core = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
        (git_dir / "config").write_text(f'{core}[remote "origin"]\n\t{origin}\n')
        self._git.run(
            git_dir, ["fetch", "--quiet", "--depth=1", "--no-tags", str(part.repository), part.commit], local=True
        )
        (git_dir / "HEAD").write_text(f"{part.commit}\n")
        (git_dir / "FETCH_HEAD").unlink(missing_ok=True)
        self._git.run(git_dir, ["repack", "-a", "-d", "-F", "--window=0", "--depth=0", "--quiet"])  # always the same
        self._git.run(git_dir, ["read-tree", part.commit])
        return outer


def fetch(url: GitUrl, folder: Path, access: Access = Access()) -> Repository:  # noqa: B008  (a record)
    """Fetch the commit that the URL means, with its submodules, below an empty folder.

    InvalidError says what git has said; LimitError for more submodules than anybody has.
    """
    git = _Git(url, access)
    parts: list[Part] = []
    waiting = [(url.remote, url.ref, "", 0)]
    while waiting:
        remote, ref, prefix, depth = waiting.pop(0)
        if len(parts) > _SUBMODULES or depth > _NESTED:
            raise LimitError(f"{url.remote} has more than {_SUBMODULES} submodules, or deeper than {_NESTED}")
        bare = folder / str(len(parts))
        commit = _fetch_one(git, remote, ref, bare)
        if not prefix and not commit.startswith(url.checksum):
            raise InvalidError(
                f"{url.remote} has the commit {commit} there, not {url.checksum}", reference="digest-mismatch"
            )
        if (
            not prefix
            and url.folder
            and not git.run(bare, ["ls-tree", "-d", commit, "--", url.folder]).startswith(_TREE)
        ):
            raise NotFoundError(f"there is no folder {url.folder!r} in {url.remote}")
        parts.append(Part(bare, commit, prefix))
        if url.submodules:
            waiting += [
                (one_remote, one_commit, f"{prefix}/{path}".lstrip("/"), depth + 1)
                for path, one_remote, one_commit in _submodules(git, remote, bare, commit)
            ]
    return Repository(url, folder, tuple(parts), git)


def _fetch_one(git: _Git, remote: str, ref: str, bare: Path) -> str:
    git.run(bare.parent, ["init", "--quiet", "--bare", "--template=", str(bare)])
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "attributes").write_text(_ATTRIBUTES)
    words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]
    wanted = "FETCH_HEAD"
    try:
        git.run(bare, [*words, "--depth=1", "--", remote, ref or "HEAD"])
    except InvalidError:
        if not _COMMIT.fullmatch(ref):
            raise
        # A server may not give out single commits: all that its branches and tags have, then.
        git.run(bare, [*words, "--", remote, "+refs/*:refs/*"])
        wanted = ref
    found = git.run(bare, ["rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}"], optional=True).decode().strip()
    if not found:
        raise InvalidError(f"{remote} has no commit {ref or 'HEAD'}")
    return found


def _submodules(git: _Git, remote: str, bare: Path, commit: str) -> list[tuple[str, str, str]]:
    """Path, repository and commit of each submodule that the commit has and `.gitmodules` knows."""
    tree = git.run(bare, ["ls-tree", "-r", "-z", "--full-tree", commit]).split(b"\0")
    links = {}
    for entry in tree:
        fields, _, path = entry.partition(b"\t")
        if fields.startswith(_GITLINK):
            links[path] = fields.split()[2].decode()
    if not links:
        return []
    listed = git.run(bare, ["config", "--blob", f"{commit}:.gitmodules", "--list", "-z"], optional=True)
    modules: dict[str, dict[str, str]] = {}
    for line in listed.decode("utf-8", "surrogateescape").split("\0"):
        key, _, value = line.partition("\n")
        section, _, rest = key.partition(".")
        name, _, field = rest.rpartition(".")
        if section == "submodule":
            modules.setdefault(name, {})[field] = value
    urls = {os.fsencode(one["path"].rstrip("/")): one.get("url", "") for one in modules.values() if "path" in one}
    return [
        (os.fsdecode(path), submodule_remote(remote, urls[path]), link)
        for path, link in links.items()
        if urls.get(path)
    ]


class _Git:
    """Runs git for one URL, with settings in its environment alone."""

    def __init__(self, url: GitUrl, access: Access) -> None:
        program = shutil.which("git")
        if program is None:
            raise NotFoundError("git is not installed", hint="a context or ADD of a repository needs it")
        self._program = program
        settings = dict(_SETTINGS)
        header = access.header
        if access.token and not header:
            header = f"basic {b64encode(f'x-access-token:{access.token}'.encode()).decode()}"
        if header and url.host:
            settings[f"http.{url.host}/.extraHeader"] = f"Authorization: {header}"
        self._url = url
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),  # of ssh, for its known hosts
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/true",
            "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
            "GIT_PROTOCOL_FROM_USER": "0",
            **({"SSH_AUTH_SOCK": access.agent} if access.agent else {}),
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (key, value) in enumerate(settings.items()):
            self._environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}

    @contextmanager
    def started(
        self, folder: Path, words: Sequence[str], *, local: bool = False, errors: int = subprocess.PIPE
    ) -> Iterator[subprocess.Popen[bytes]]:
        """git in a repository, ended with the block; `local` lets it read one of this host's."""
        environment = dict(self._environment)
        if words[0] != "init":
            environment["GIT_DIR"] = str(folder)
        if local:
            environment["GIT_ALLOW_PROTOCOL"] = "file"
        process = subprocess.Popen(
            ["prlimit", f"--fsize={_FILE_LIMIT}", self._program, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, folder: Path, words: Sequence[str], *, optional: bool = False, local: bool = False) -> bytes:
        """What git prints; InvalidError with what it complains of, unless it is `optional`."""
        with self.started(folder, words, local=local) as process:
            printed, said = process.communicate()
        if process.returncode and not optional:
            lines = said.decode("utf-8", "replace")[:_SAID].strip().splitlines() or [
                f"it ended with {process.returncode}"
            ]
            fatal = next((line for line in lines if line.startswith("fatal:")), lines[-1]).removeprefix("fatal: ")
            reason = lines[0] if fatal.startswith(_BY_SSH) else fatal
            ref = f" ({self._url.ref})" if self._url.ref else ""
            hint = ""
            if _UNKNOWN_HOST in said:
                hint = "ssh has to know the host: connect once by hand, or ssh-keyscan HOST >> ~/.ssh/known_hosts"
            elif any(sign in said for sign in _PRIVATE):
                hint = "a private repository needs --secret id=GIT_AUTH_TOKEN, or --ssh default"
            raise InvalidError(f"cannot fetch {without_password(self._url.remote)}{ref}: {reason}", hint=hint)
        return printed
