"""Who may do what: passwords, tokens, rules."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import bcrypt
import pytest

from sandbox.errors import InvalidError
from sandbox.registry.server import htpasswd
from sandbox.registry.server.access import ANONYMOUS, Action, BasicGate
from sandbox.registry.server.application import Registry
from sandbox.registry.server.htpasswd import FileAccounts
from sandbox.registry.server.layout import Layout
from sandbox.registry.server.tokens import TokenGate, secret
from tests.sandbox.registry.server.pushes import Peer

if TYPE_CHECKING:
    from pathlib import Path

NAME = "team/app"
RULES = """
*      public/**   pull                 # anybody
@      **          pull
alice  team/**     pull,push,delete
alice  shared/*    pull,push
"""


def line(account: str, password: str) -> str:
    """An entry of a password file that is quick to check."""
    return f"{account}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


def basic(account: str, password: str) -> str:
    """The header of a password."""
    return "Basic " + base64.b64encode(f"{account}:{password}".encode()).decode()


@pytest.fixture
def accounts(tmp_path: Path) -> FileAccounts:
    """Alice and Bob, with rules."""
    passwords, rules = tmp_path / "htpasswd", tmp_path / "rules"
    passwords.write_text(line("alice", "pässword") + line("bob", "x:y"))
    rules.write_text(RULES)
    return FileAccounts(passwords, rules=rules)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """The moment."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time of tokens."""
    return Clock()


@pytest.fixture
def guarded(root: Path, accounts: FileAccounts, clock: Clock) -> Registry:
    """A registry with tokens, and an image of Alice's in each of three places."""
    registry = Registry(root, gate=TokenGate(accounts, b"k" * 32, clock=clock))
    everything = Peer(Registry(root))
    for name in (NAME, "public/app", "private/app"):
        everything.image(name, "v1")
    return registry


def token(registry: Registry, *scopes: str, authorization: str = "") -> str:
    """The header of a token for scopes."""
    response = Peer(registry, authorization)(
        "GET", "/v2/_token", query={"scope": " ".join(scopes), "service": "registry"}
    )
    assert response.status_code == 200, response.text
    answer = json.loads(response.data)
    assert answer["token"] == answer["access_token"]
    return f"Bearer {answer['token']}"


def test_docker_s_way_to_a_token(guarded: Registry) -> None:
    """The first request is refused with a challenge; its realm gives a token for the scope it names; that is let in."""
    response = Peer(guarded)("POST", f"/v2/{NAME}/blobs/uploads/")
    assert response.status_code == 401
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', response.headers["WWW-Authenticate"]))
    assert challenge["realm"] == "http://localhost/v2/_token"
    assert challenge["scope"] == f"repository:{NAME}:pull,push"
    assert Peer(guarded).codes(response) == ["UNAUTHORIZED"]
    header = token(guarded, challenge["scope"], authorization=basic("alice", "pässword"))
    assert Peer(guarded, header)("GET", "/v2/").status_code == 200
    Peer(guarded, header).image(NAME, "v2")


def test_the_base_asks_for_a_token_even_where_anybody_may_pull(guarded: Registry) -> None:
    """Docker learns from /v2/ alone that there are tokens; anybody's token opens it."""
    assert Peer(guarded)("GET", "/v2/").status_code == 401
    assert Peer(guarded, token(guarded))("GET", "/v2/").status_code == 200


def test_a_token_allows_what_it_lists(guarded: Registry) -> None:
    """Another repository or action is 401 with `scope`: a client has to ask for more."""
    header = token(guarded, f"repository:{NAME}:pull", authorization=basic("alice", "pässword"))
    peer = Peer(guarded, header)
    assert peer("GET", f"/v2/{NAME}/manifests/v1").status_code == 200
    for method, path, scope in (
        ("DELETE", f"/v2/{NAME}/manifests/v1", f"repository:{NAME}:delete"),
        ("GET", "/v2/private/app/manifests/v1", "repository:private/app:pull"),
    ):
        response = peer(method, path)
        assert response.status_code == 401
        assert f'scope="{scope}",error="insufficient_scope"' in response.headers["WWW-Authenticate"]


def test_a_token_lists_no_more_than_the_account_may(guarded: Registry) -> None:
    """Of what is asked for, what the rules give; what is no repository's is left out."""
    asked = (
        f"repository:{NAME}:pull,push,delete",
        "repository:public/app:*",
        "registry:catalog:*",
        "repository:../x:pull",
    )
    header = token(guarded, *asked, authorization=basic("bob", "x:y"))
    claims = json.loads(base64.urlsafe_b64decode(header.split(".")[1] + "=="))
    assert claims["access"] == [
        {"type": "repository", "name": NAME, "actions": ["pull"]},
        {"type": "repository", "name": "public/app", "actions": ["pull"]},
    ]
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("bob", 300)


def test_anybody_pulls_what_is_public(guarded: Registry) -> None:
    """With a token without a password, and without a token; nothing else."""
    for header in ("", token(guarded, "repository:public/app:pull,push")):
        peer = Peer(guarded, header)
        assert peer("GET", "/v2/public/app/manifests/v1").status_code == 200
        assert peer("POST", "/v2/public/app/blobs/uploads/").status_code == 401
        assert peer("GET", "/v2/private/app/manifests/v1").status_code == 401


def test_a_password_does_without_a_token(guarded: Registry) -> None:
    """Basic works everywhere, and what it does not allow is 403 with DENIED: no other token would help."""
    peer = Peer(guarded, basic("bob", "x:y"))
    assert peer("GET", f"/v2/{NAME}/manifests/v1").status_code == 200
    response = peer("POST", f"/v2/{NAME}/blobs/uploads/")
    assert (response.status_code, peer.codes(response)) == (403, ["DENIED"])


@pytest.mark.parametrize("change", ["late", "early", "signature", "claims", "none", "other key", "garbage", "empty"])
def test_tokens_that_are_not_ours_now(guarded: Registry, accounts: FileAccounts, clock: Clock, change: str) -> None:
    """401 with `invalid_token`: too old, changed, signed by another key or not at all (CVE-2025-24976, RFC 8725)."""
    header = token(guarded, f"repository:{NAME}:pull", authorization=basic("alice", "pässword"))
    head, claims, signature = header.removeprefix("Bearer ").split(".")
    unsigned = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"none"}').rstrip(b"=").decode()
    other = TokenGate(accounts, b"o" * 32, clock=clock).issue("alice", [f"repository:{NAME}:pull"])["token"]
    clock.now += {"late": 300, "early": -10}.get(change, 0)
    changed = {
        "signature": f"{head}.{claims}.{'A' * len(signature)}",
        "claims": f"{head}.{claims[:-2]}AA.{signature}",
        "none": f"{unsigned}.{claims}.",
        "other key": other,
        "garbage": "é.{}.{}",
        "empty": "",
    }.get(change, f"{head}.{claims}.{signature}")
    response = Peer(guarded, f"Bearer {changed}".encode().decode("latin-1"))("GET", f"/v2/{NAME}/manifests/v1")
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_a_form_asks_for_a_token_too(guarded: Registry) -> None:
    """As containerd does (OAuth2, grant type `password`); other grants are 405, upon which it falls back to GET."""
    form = b"grant_type=password&username=bob&password=x%3Ay&service=registry&scope=repository%3Apublic%2Fapp%3Apull"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = Peer(guarded)("POST", "/v2/_token", form, headers=headers)
    assert response.status_code == 200
    header = f"Bearer {json.loads(response.data)['access_token']}"
    assert Peer(guarded, header)("GET", "/v2/public/app/manifests/v1").status_code == 200
    assert Peer(guarded)("POST", "/v2/_token", form.replace(b"3Ay", b"3Az"), headers=headers).status_code == 401
    refresh = form.replace(b"=password&", b"=refresh_token&", 1)
    assert Peer(guarded)("POST", "/v2/_token", refresh, headers=headers).status_code == 405


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "wrong"),
        basic("nobody", "x"),
        basic("", ""),
        "Basic !!!",
        "Basic " + "x" * 500,
        basic("bob", "a" * 73),
    ],
)
def test_wrong_passwords(guarded: Registry, root: Path, accounts: FileAccounts, header: str) -> None:
    """401 at the registry and at the endpoint for tokens, in both kinds of registries."""
    for registry in (guarded, Registry(root, gate=BasicGate(accounts))):
        response = Peer(registry, header)("GET", "/v2/")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert Peer(guarded, header)("GET", "/v2/_token").status_code == 401


def test_passwords_without_tokens(root: Path, accounts: FileAccounts, guarded: Registry) -> None:
    """A registry with `BasicGate` lets nobody in without a password, and gives out no tokens."""
    registry = Registry(root, gate=BasicGate(accounts))
    response = Peer(registry)("GET", "/v2/public/app/manifests/v1")
    assert (response.status_code, response.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    assert Peer(registry, basic("bob", "x:y"))("GET", "/v2/public/app/manifests/v1").status_code == 200
    assert Peer(registry)("GET", "/v2/_token").status_code == 404


def test_the_catalog_shows_what_one_may_pull(guarded: Registry) -> None:
    """Anybody sees what is public, an account all that the rules let it pull; without a token there is a challenge."""
    response = Peer(guarded)("GET", "/v2/_catalog")
    assert response.status_code == 401
    assert 'scope="registry:catalog:*"' in response.headers["WWW-Authenticate"]
    for authorization, expected in (("", ["public/app"]), (basic("bob", "x:y"), ["private/app", "public/app", NAME])):
        header = token(guarded, "registry:catalog:*", authorization=authorization)
        assert Peer(guarded, header)("GET", "/v2/_catalog").json == {"repositories": expected}


def test_a_mount_takes_the_right_to_pull(guarded: Registry) -> None:
    """From a repository that the token does not list nothing is mounted, and the client uploads."""
    digest = Peer(guarded, basic("alice", "pässword")).blob("team/source", b"content")
    query = {"mount": digest, "from": "team/source"}
    path = "/v2/team/target/blobs/uploads/"
    password = basic("alice", "pässword")
    one = token(guarded, "repository:team/target:pull,push", authorization=password)
    both = token(guarded, "repository:team/target:pull,push", "repository:team/source:pull", authorization=password)
    assert Peer(guarded, one)("POST", path, query=query).status_code == 202
    assert Peer(guarded, both)("POST", path, query=query).status_code == 201


# --- Files ---


def test_rules(accounts: FileAccounts) -> None:
    """`*` is one part of a name, `**` any number; rules add up; what none allows is denied."""
    everything = frozenset(Action)
    assert accounts.rights("alice", "team/a/b") == everything
    assert accounts.rights("alice", "team") == {Action.PULL}
    assert accounts.rights("alice", "shared/a") == {Action.PULL, Action.PUSH}
    assert accounts.rights("alice", "shared/a/b") == {Action.PULL}
    assert accounts.rights("bob", "team/a") == {Action.PULL}
    assert accounts.rights(ANONYMOUS, "public/a") == {Action.PULL}
    assert accounts.rights(ANONYMOUS, "team/a") == frozenset()


def test_files_are_read_anew(tmp_path: Path) -> None:
    """A new password counts at once, a deleted account has no rights; a file that is broken leaves what was known."""
    path = tmp_path / "htpasswd"
    path.write_text(line("alice", "old"))
    accounts = FileAccounts(path, anonymous_pull=True)
    assert accounts.check("alice", "old")
    assert accounts.rights("alice", NAME) == frozenset(Action)
    path.write_text(line("alice", "new") + "# a comment\n")
    assert (accounts.check("alice", "old"), accounts.check("alice", "new")) == (None, "alice")
    path.write_text("alice:plain text\n")
    assert accounts.check("alice", "new")
    path.write_text(line("carol", "x"))
    assert accounts.rights("alice", NAME) == {Action.PULL}


@pytest.mark.parametrize("text", ["alice:plain", "alice", ":$2y$05$" + "a" * 53, "alice:{SHA}x", "alice:$apr1$x$y"])
def test_password_files_that_are_wrong(text: str) -> None:
    """The error names the line and says how to make it right."""
    with pytest.raises(InvalidError, match=r"line 2 .*htpasswd -B"):
        htpasswd.parse_passwords(f"# accounts\n{text}\n")


@pytest.mark.parametrize("text", ["alice team/**", "alice ** pull push", "alice ** write", "a b c d"])
def test_rules_that_are_wrong(text: str) -> None:
    """The error names the line."""
    with pytest.raises(InvalidError, match="line 1 "):
        htpasswd.parse_rules(text)


def test_entries_are_made(tmp_path: Path) -> None:
    """What `sandbox registry passwd` prints is accepted; names and passwords that cannot be are refused."""
    path = tmp_path / "htpasswd"
    path.write_text(htpasswd.entry("alice", "secret") + "\n")
    assert FileAccounts(path).check("alice", "secret")
    for account, password in (("", "x"), ("a:b", "x"), ("*", "x"), ("alice", ""), ("alice", "x" * 73), ("a\n", "x")):
        with pytest.raises(InvalidError):
            htpasswd.entry(account, password)


def test_one_secret_for_a_directory(root: Path) -> None:
    """Every process finds the same key, and nobody else may read it."""
    layout = Layout(root)
    assert secret(layout) == secret(layout)
    assert len(secret(layout)) == 32
    assert (root / "secret").stat().st_mode & 0o777 == 0o600
    assert not list((root / "tmp").iterdir())
