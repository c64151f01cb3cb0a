"""`sandbox registry`: what a person types to run a registry and to keep it in order."""

from __future__ import annotations

import base64
import http.client
import json
import os
from typing import TYPE_CHECKING

import pytest

from sandbox.registry.server.application import Registry
from tests.sandbox.command import Sandbox
from tests.sandbox.registry.server.pushes import Peer
from tests.sandbox.registry.server.running import served

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, repository: Path) -> Sandbox:
    """The command, with a state directory that is empty."""
    return Sandbox(tmp_path / "home", repository)


def test_accounts_from_the_command_to_a_pull(run: Sandbox, tmp_path: Path) -> None:
    """`registry passwd` makes an entry, `serve --htpasswd` asks for it, and with --anonymous-pull anybody may pull."""
    passwords = tmp_path / "accounts"
    passwords.write_text(run("registry", "passwd", "alice", stdin="secret\n").stdout)
    root = tmp_path / "registry"
    Peer(Registry(root)).image("team/app", "v1")
    with served(root, "--htpasswd", str(passwords), "--anonymous-pull", "--no-log") as server:

        def status(method: str, path: str, authorization: str = "") -> int:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request(method, path, headers={"Authorization": authorization} if authorization else {})
            found = connection.getresponse().status
            connection.close()
            return found

        password = "Basic " + base64.b64encode(b"alice:secret").decode()
        assert status("GET", "/v2/") == 401
        assert status("GET", "/v2/", password) == 200
        assert status("GET", "/v2/team/app/manifests/v1") == 200
        assert status("POST", "/v2/team/app/blobs/uploads/") == 401
        assert status("POST", "/v2/team/app/blobs/uploads/", password) == 202


def test_what_a_registry_holds(run: Sandbox, tmp_path: Path) -> None:
    """`registry ls` lists tags and manifests without tags, as a table or as JSON, of all or of one repository."""
    root = tmp_path / "registry"
    peer = Peer(Registry(root))
    _, digest = peer.image("team/app", "v1")
    peer.image("team/app", "gone", b"else")
    peer("DELETE", "/v2/team/app/manifests/gone")
    peer.image("other", "v2")
    listed = run("registry", "ls", "--storage", str(root)).stdout.splitlines()
    assert listed[0].split() == ["REPOSITORY", "TAG", "DIGEST", "TYPE"]
    assert [line.split()[0] for line in listed[1:]] == ["other", "team/app", "team/app"]
    found = run("registry", "ls", "--format", "json", "--no-trunc", "--storage", str(root), "team/app").stdout
    entries = [json.loads(line) for line in found.splitlines()]
    assert [(entry["Tag"], entry["Digest"] == digest) for entry in entries] == [("v1", True), ("", False)]
    missing = run("registry", "ls", "--storage", str(root), "nobody")
    assert (missing.returncode, missing.stderr) == (125, "sandbox: the registry has no repository 'nobody'\n")


def test_garbage_is_collected(run: Sandbox, tmp_path: Path) -> None:
    """`registry gc` says what it deleted; --dry-run what it would; without options nothing young goes."""
    root = tmp_path / "registry"
    digest = Peer(Registry(root)).blob("team/app", b"garbage")
    for path in root.rglob(digest.hex):
        os.utime(path, (1000, 1000))
    would = run("registry", "gc", "--dry-run", "--storage", str(root)).stdout
    assert would == "would delete 1 blobs (7B), 1 blobs of single repositories, 0 manifests, 0 uploads\n"
    assert run("registry", "gc", "--grace", "1h", "--storage", str(root)).stdout.startswith("deleted 1 blobs (7B)")
    Peer(Registry(root)).blob("team/app", b"young")
    assert run("registry", "gc", "--storage", str(root)).stdout.startswith("deleted 0 blobs")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["serve", "--address", "nowhere:x"], "--address 'nowhere:x' is not HOST:PORT"),
        (["serve", "--address", "127.0.0.1:99999"], "is not HOST:PORT"),
        (["serve", "--address", "192.0.2.1:0"], "192.0.2.1:0 cannot be served"),
        (["serve", "--anonymous-pull"], "--anonymous-pull needs accounts"),
        (["serve", "--tls-key", "x"], "--tls-key without --tls-cert"),
        (["serve", "--tls-cert", "nothing.pem"], "is not a file"),
        (["serve", "--quota", "10g"], "--quota '10g' is not NAME=SIZE"),
        (["serve", "--quota", "team=many"], "--quota 'many' is not a size"),
        (["serve", "--max-blob", "x"], "--max-blob 'x' is not a size"),
        (["gc"], "there is no registry in"),
        (["ls", "--storage", "/nonexistent"], "there is no registry in '/nonexistent'"),
        (["passwd", "a:b"], "'a:b' cannot be the name of an account"),
    ],
)
def test_mistakes_are_one_line(run: Sandbox, words: list[str], complaint: str) -> None:
    """What is wrong is named, without a traceback, and nothing is served."""
    done = run("registry", *words, stdin="secret\n")
    assert done.returncode in (2, 125)
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_broken_password_file_is_told_at_once(run: Sandbox, tmp_path: Path) -> None:
    """A server with it would let nobody in."""
    (tmp_path / "accounts").write_text("alice:secret\n")
    done = run("registry", "serve", "--htpasswd", str(tmp_path / "accounts"), "--address", "127.0.0.1:0")
    assert done.returncode == 125
    assert "line 1 of the password file is no bcrypt entry" in done.stderr


def test_certificates_that_are_none(run: Sandbox, tmp_path: Path) -> None:
    """The file is named before anything is served."""
    (tmp_path / "cert.pem").write_text("nothing")
    done = run("registry", "serve", "--tls-cert", str(tmp_path / "cert.pem"), "--address", "127.0.0.1:0")
    assert (done.returncode, done.stderr.count("\n")) == (125, 1)
    assert "cert.pem" in done.stderr
