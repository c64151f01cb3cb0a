"""Contexts and sources of ADD that come from elsewhere, over http and git from loopback, friendly and hostile."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.builder.remote_server import Server, git, repository, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox.command import Sandbox

SECRET = "s3cret"  # noqa: S105  (nobody's)
pytestmark = pytest.mark.slow  # in sum: each builds a few images


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of an empty folder."""
    root = tmp_path / "root"
    root.mkdir()
    with serving(root) as found:
        yield found


def archive(files: dict[str, str]) -> bytes:
    """A compressed tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return stream.getvalue()


def extract(data: bytes, folder: Path) -> None:
    """Unpack an archive of our own."""
    subprocess.run(["tar", "-xf", "-", "--no-same-owner", "-C", folder], input=data, check=True)


def files(sandbox: Sandbox, folder: Path, *words: str) -> dict[str, str]:
    """Build for the files: their contents by name. The folder is written to."""
    made = sandbox("build", "-o", str(folder), *words)
    assert made.returncode == 0, made.stderr
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def refused(sandbox: Sandbox, *words: str) -> str:
    """The one line that a build ends with."""
    made = sandbox("build", "-o", "-", *words)
    assert made.returncode != 0
    assert "Traceback" not in made.stderr
    return made.stderr.splitlines()[-1]


def test_a_repository_is_a_context(sandbox: Sandbox, server: Server, tmp_path: Path) -> None:
    """Branch, tag, commit and the beginning of one, folder and query; submodules are there, what is ignored is not."""
    repository(server.root / "lib", {"l": "lib"})
    main = server.root / "main"
    first = repository(main, {"Dockerfile": "FROM scratch\nCOPY . /", "f": "one", ".dockerignore": "x\n", "x": ""})
    git(main, "tag", "v1")
    (main / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = ../lib.git\n')
    git(main, "update-index", "--add", "--cacheinfo", f"160000,{git(server.root / 'lib', 'rev-parse', 'HEAD')},lib")
    (main / "lib").mkdir()
    repository(main, {"d/Dockerfile": "FROM scratch\nCOPY . /", "f": "two"})
    url = f"{server.address}/main.git"
    assert files(sandbox, tmp_path / "1", f"{url}#v1")["f"] == "one"
    assert files(sandbox, tmp_path / "2", f"{url}#{first[:10]}")["f"] == "one"
    latest = files(sandbox, tmp_path / "3", url)
    assert (latest["f"], latest["lib/l"], "x" in latest) == ("two", "lib", False)
    assert set(files(sandbox, tmp_path / "4", f"{url}#main:d")) == {"Dockerfile"}
    assert set(files(sandbox, tmp_path / "5", f"{url}?branch=main&subdir=d")) == {"Dockerfile"}
    assert "lib/l" not in files(sandbox, tmp_path / "6", f"{url}?submodules=false")
    assert "couldn't find remote ref nix" in refused(sandbox, f"{url}#nix")
    assert "no folder 'e'" in refused(sandbox, f"{url}#:e")


def test_a_url_is_a_context(sandbox: Sandbox, server: Server, tmp_path: Path) -> None:
    """An archive behind http has the files; anything else is the Dockerfile; `-f -` and `-f URL` go with both."""
    (server.root / "c.tgz").write_bytes(archive({"Dockerfile": "FROM scratch\nCOPY a /", "a": "A", "b": "B"}))
    (server.root / "plain").write_text("FROM scratch\nCOPY <<x /y\nz\nx\n")
    server.handler.redirects["/moved"] = "/c.tgz"
    assert files(sandbox, tmp_path / "1", f"{server.address}/moved") == {"a": "A"}
    assert files(sandbox, tmp_path / "2", f"{server.address}/plain") == {"y": "z\n"}
    (tmp_path / "context").mkdir()
    assert files(sandbox, tmp_path / "3", "-f", f"{server.address}/plain", str(tmp_path / "context")) == {"y": "z\n"}
    from_input = sandbox(
        "build", "-o", str(tmp_path / "4"), "-f", "-", f"{server.address}/c.tgz", stdin="FROM scratch\nCOPY b /"
    )
    assert (from_input.returncode, (tmp_path / "4" / "b").read_text()) == (0, "B")
    server.handler.redirects["/out"] = "file:///etc/passwd"
    assert "cannot fetch" in refused(sandbox, f"{server.address}/out")
    assert "connection refused" in refused(sandbox, "http://127.0.0.1:1/x")
    assert "cannot fetch ssh://127.0.0.1:1/r: ssh: connect to host" in refused(sandbox, "ssh://127.0.0.1:1/r")
    assert "no context" in refused(sandbox, "ftp://127.0.0.1/x")
    assert "both the context and the Dockerfile" in refused(sandbox, "-f", "-", "-")


def test_named_contexts(sandbox: Sandbox, server: Server, tag: str, tmp_path: Path) -> None:
    """A folder, an archive, a repository, an image and a layout, for --from, mounts and FROM; they go before stages."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "kept").write_text("folder")
    (folder / "left").write_text("")
    (folder / ".dockerignore").write_text("left")
    (server.root / "c.tgz").write_bytes(archive({"a": "tar"}))
    repository(server.root / "r", {"g": "git"})
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM scratch AS stage\nFROM scratch\nCOPY --from=stage . /\nCOPY --from=tar a /\nCOPY --from=git g /\n"
        "COPY --from=nowhere/image /bin/busybox /b\n"
    )
    words = ["--build-context", f"STAGE={folder}", "--build-context", f"tar={server.address}/c.tgz"]
    words += [
        "--build-context",
        f"git={server.address}/r.git",
        "--build-context",
        "nowhere/image=docker-image://busybox",
    ]
    made = sandbox("build", "-o", str(tmp_path / "out"), *words, str(context))
    assert made.returncode == 0, made.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".dockerignore", "kept", "a", "g", "b"}
    (context / "Dockerfile").write_text("FROM base\nCOPY kept /\n")
    (context / "kept").write_text("context")
    sandbox("build", "-q", "-t", tag, "--build-context", f"base={folder}", str(context))
    layout = tmp_path / "layout"
    layout.mkdir()
    extract(sandbox.printed("save", tag), layout)
    (context / "Dockerfile").write_text("FROM base\n")
    found = files(sandbox, tmp_path / "out2", "--build-context", f"base=oci-layout://{layout}", str(context))
    assert found["kept"] == "context"
    assert "names no context" in refused(sandbox, "--build-context", "x", str(context))
    assert "no OCI layout" in refused(sandbox, "--build-context", f"base=oci-layout://{folder}", str(context))


def test_add_of_a_repository(sandbox: Sandbox, server: Server, tmp_path: Path) -> None:
    """Its files, with .git on request, the same at every build; a checksum is the beginning of the commit."""
    commit = repository(server.root / "r", {"a": "A", "d/b": "B"})
    (server.root / "r" / "d" / "b").chmod(0o700)
    commit = repository(server.root / "r", {"c": "C"})
    url = f"{server.address}/r.git"
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM scratch\nADD --checksum={commit[:7]} --chown=7:8 {url} /r\nADD --keep-git-dir=true {url}#main /g/\n"
        f"ADD {url}#:d /d/\n"
    )
    archived = sandbox.printed("build", "-o", "-", str(context))
    with tarfile.open(fileobj=io.BytesIO(archived)) as tar:
        members = {member.name: (member.mode & 0o777, member.uid, member.gid, member.mtime) for member in tar}
        assert members["r/d/b"] == (0o755, 7, 8, 981173106)
        assert members["r/a"][0] == 0o644
        assert {"g/.git/HEAD", "g/a", "d/b"} <= set(members)
        assert "r/.git" not in members
    (tmp_path / "out").mkdir()
    extract(archived, tmp_path / "out")
    assert git(tmp_path / "out" / "g", "log", "--format=%H") == commit
    assert git(tmp_path / "out" / "g", "status", "--short") == ""
    assert sandbox("build", "-o", str(tmp_path / "2"), str(context)).stderr.count("CACHED") == 3
    (context / "Dockerfile").write_text(f"FROM scratch\nADD --checksum=0123 {url} /r\n")
    assert "not 0123" in refused(sandbox, str(context))


def test_private_sources(sandbox: Sandbox, server: Server, tmp_path: Path) -> None:
    """A token opens a repository and a URL; no redirect takes it to another host, and the image does not have it."""
    repository(server.root / "r", {"Dockerfile": "FROM scratch\nCOPY . /"})
    (server.root / "f").write_text("private")
    server.handler.token = base64.b64encode(f"x-access-token:{SECRET}".encode()).decode()
    url = f"{server.address}/r.git"
    assert "GIT_AUTH_TOKEN" in sandbox("build", url).stderr
    words = ["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"]
    made = sandbox("build", "-o", str(tmp_path / "o"), *words, url, TOKEN=SECRET)
    assert made.returncode == 0, made.stderr
    server.handler.token = SECRET
    with serving(server.root) as other:
        context = tmp_path / "context"
        context.mkdir()
        server.handler.redirects["/away"] = f"{other.address}/f"
        (context / "Dockerfile").write_text(f"FROM scratch\nADD {server.address}/f {server.address}/away /\n")
        host = server.address.partition("://")[2]
        made = sandbox(
            "build",
            "-o",
            str(tmp_path / "p"),
            "--secret",
            f"id=HTTP_AUTH_TOKEN_{host},env=TOKEN",
            str(context),
            TOKEN=SECRET,
        )
        assert made.returncode == 0, made.stderr
        assert other.handler.seen == [("/f", "")]
        assert ("/away", f"Bearer {SECRET}") in server.handler.seen


def test_hostile_repositories(sandbox: Sandbox, server: Server, tmp_path: Path) -> None:
    """Links lead nowhere, submodules run nothing and read nothing of the host, attributes and `.git` mean nothing."""
    mark = tmp_path / "mark"
    main = server.root / "main"
    main.mkdir()
    git(main, "init", "-q", "-b", "main")
    (main / "out").symlink_to("/etc")
    (main / "up").symlink_to("../../../../../../etc/passwd")
    repository(
        main, {"Dockerfile": "FROM scratch\nCOPY . /", ".gitattributes": "hidden export-ignore\n", "hidden": "h"}
    )
    url = f"{server.address}/main.git"
    archived = sandbox.printed("build", "-o", "-", url)
    with tarfile.open(fileobj=io.BytesIO(archived)) as tar:
        assert {member.name: member.linkname for member in tar if member.issym()} == {
            "out": "/etc",
            "up": "../../../../../../etc/passwd",
        }
        assert "hidden" in tar.getnames()
    for hostile in (f"ext::sh -c touch% {mark}", f"file://{main}", str(main), f"--upload-pack=touch {mark}"):
        folder = server.root / f"sub{abs(hash(hostile))}"
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        modules = f'[submodule "s"]\n\tpath = s\n\turl = {json.dumps(hostile)}\n'
        git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},s")
        (folder / "s").mkdir()
        repository(folder, {"Dockerfile": "FROM scratch", ".gitmodules": modules})
        line = refused(sandbox, f"{server.address}/{folder.name}.git")
        assert "not a repository to build from" in line or "cannot fetch" in line
    assert not mark.exists()
    server.handler.redirects["/moved.git/info/refs"] = f"file://{main}"
    assert "cannot fetch" in refused(sandbox, f"{server.address}/moved.git")
    assert "not a branch, tag or commit" in refused(sandbox, f"{url}#--upload-pack=touch")
    for word in (f"ext::sh -c 'touch {mark}'", f"file://{main}", f"{main}/.git"):
        assert refused(sandbox, word)
    assert not mark.exists()
