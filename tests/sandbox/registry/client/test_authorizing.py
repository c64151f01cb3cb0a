"""Logins: basic, tokens, identity tokens, as servers ask for them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.errors import InvalidError
from sandbox.registry.client.challenge import parse
from sandbox.registry.client.dockerconfig import Credential, DockerConfig
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.session import Session
from tests.sandbox.registry.client.conftest import QUICK, layer
from tests.sandbox.registry.client.servers import Hostile, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.image.store import ImageStore
    from sandbox.registry.client.pulling import Pulled

    Pulls = Callable[..., Pulled]


class TokenServer(Hostile):
    """Gives tokens `t1`, `t2`, … and guards a registry with them: each is good for `uses` requests."""

    def __init__(self, guarded: Hostile, *, uses: int = 100) -> None:
        super().__init__()
        self.uses = uses
        self.given = 0
        self.accepts: Callable[[Request], bool] = lambda _: True
        self.fields: dict[str, str] = {}  # further ones of an answer
        self.answers["/token"] = self._token
        guarded.answers["*"] = self._guard
        self._left: dict[str, int] = {}

    def _token(self, request: Request) -> Reply:
        if not self.accepts(request):
            return Reply(401, b'{"details":"incorrect username or password"}')
        self.given += 1
        token = f"t{self.given}"
        self._left[f"Bearer {token}"] = self.uses
        return Reply(body=json.dumps({"token": token, **self.fields}).encode())

    def _guard(self, request: Request) -> Reply | None:
        header = request.headers.get("authorization", "")
        if self._left.get(header, 0) > 0:
            self._left[header] -= 1
            return None
        challenge = f'Bearer realm="http://{self.address}/token",service="the \\"registry\\"",scope="x:y:z"'
        return Reply(401, headers={"WWW-Authenticate": challenge})


@pytest.fixture
def tokens(hostile: Hostile) -> Iterator[TokenServer]:
    """A token server that guards `hostile`."""
    server = TokenServer(hostile)
    yield server
    server.close()


def log_in(tmp_path: Path, address: str, **entry: str) -> None:
    """Write docker's configuration."""
    path = tmp_path / "docker/config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"auths": {address: entry}}))


def basic(user: str, password: str) -> str:
    """The text that `auth` and basic authorization have."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://a/t",service="s",scope="a:b:pull,push"', [("bearer", 3)]),
        ("Basic realm=x, Bearer realm=y , service = z", [("basic", 1), ("bearer", 2)]),
        ('Basic realm="a\\"b, c"', [("basic", 1)]),
        ("Negotiate", [("negotiate", 0)]),
        ("", []),
        ("=,=,,", []),
        ('Bearer realm="open', [("bearer", 1)]),
    ],
)
def test_challenges(header: str, found: list[tuple[str, int]]) -> None:
    """Quotes, blanks, several in one header; what is broken ends it."""
    assert [(one.scheme, len(one.parameters)) for one in parse([header])] == found


def test_a_token_for_the_scope(hostile: Hostile, tokens: TokenServer, pulls: Pulls) -> None:
    """Without a login it is asked for anonymously, once for all requests, with service and both scopes."""
    hostile.image(layer("a"), layer("b"))
    pulls(f"{hostile.address}/team/x")
    assert tokens.given == 1
    query = parse_qs(urlsplit(tokens.requests[0].path).query)
    assert query == {"service": ['the "registry"'], "scope": ["repository:team/x:pull", "x:y:z"]}
    assert "authorization" not in tokens.requests[0].headers


def test_a_token_with_a_login(hostile: Hostile, tokens: TokenServer, pulls: Pulls, tmp_path: Path) -> None:
    """The password goes to the token server, never to the registry itself."""
    hostile.image(layer())
    log_in(tmp_path, hostile.address, auth=basic("me", "pa:ss"))
    pulls(f"{hostile.address}/x")
    assert tokens.requests[0].headers["authorization"] == f"Basic {basic('me', 'pa:ss')}"
    assert "account=me" in tokens.requests[0].path
    assert all("Basic" not in request.headers.get("authorization", "") for request in hostile.requests)


def test_a_token_that_has_expired(hostile: Hostile, tokens: TokenServer, pulls: Pulls) -> None:
    """Another one is fetched."""
    hostile.image(layer("a"), layer("b"), layer("c"))
    tokens.uses = 2
    pulls(f"{hostile.address}/x")
    assert tokens.given == 3


def test_a_token_that_is_never_good(hostile: Hostile, tokens: TokenServer, pulls: Pulls) -> None:
    """It is not asked for without end."""
    tokens.uses = 0
    with pytest.raises(RegistryError, match="wants a login"):
        pulls(f"{hostile.address}/x")
    assert tokens.given <= 3


def test_an_identity_token(hostile: Hostile, tokens: TokenServer, pulls: Pulls, tmp_path: Path) -> None:
    """It is handed in for a token, as OAuth has it."""
    hostile.image(layer())
    log_in(tmp_path, hostile.address, auth=basic("me", ""), identitytoken="idtok")
    pulls(f"{hostile.address}/x")
    request = tokens.requests[0]
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert request.method == "POST"
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "idtok")
    assert form["scope"] == "repository:x:pull x:y:z"


def test_a_login_that_is_not_accepted(hostile: Hostile, tokens: TokenServer, pulls: Pulls, tmp_path: Path) -> None:
    """One line that says whose it is, and how to log in."""
    tokens.accepts = lambda request: "authorization" not in request.headers
    log_in(tmp_path, hostile.address, auth=basic("me", "wrong"))
    with pytest.raises(RegistryError, match="does not accept the login of me") as caught:
        pulls(f"{hostile.address}/x")
    assert caught.value.hint == f"log in anew: sandbox login {hostile.address}"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b"x" * (2 << 20)])
def test_token_servers_that_talk_nonsense(hostile: Hostile, tokens: TokenServer, pulls: Pulls, body: bytes) -> None:
    """Something else than a token is refused, and never becomes a header."""
    tokens.answers["/token"] = lambda _: Reply(body=body)
    with pytest.raises(Exception, match=r"token server|more than"):
        pulls(f"{hostile.address}/x")


def try_login(store: ImageStore, address: str, password: str) -> Credential:
    """What `login` does at the registry."""
    with Session(store.home, retrying=QUICK) as session:
        return session.log_in(address, Credential("me", password))


def test_login_gets_an_identity_token(hostile: Hostile, tokens: TokenServer, store: ImageStore) -> None:
    """Where the token server gives one; the password is not kept then."""
    tokens.fields = {"refresh_token": "idtok"}
    assert try_login(store, hostile.address, "secret") == Credential("me", "", "idtok")
    form = parse_qs(tokens.requests[0].body.decode())
    assert (form["grant_type"], form["password"], form["access_type"]) == (["password"], ["secret"], ["offline"])


def test_login_at_older_token_servers(hostile: Hostile, tokens: TokenServer, store: ImageStore) -> None:
    """Those that know of GET alone."""
    usual = tokens.answers["/token"]
    tokens.answers["/token"] = lambda request: Reply(405) if request.method == "POST" else usual(request)
    assert try_login(store, hostile.address, "secret") == Credential("me", "secret")
    tokens.accepts = lambda _: False
    with pytest.raises(RegistryError, match="does not accept the login of me"):
        try_login(store, hostile.address, "wrong")


def test_login_with_basic(hostile: Hostile, store: ImageStore) -> None:
    """A registry that takes the password itself."""
    right = f"Basic {basic('me', 'secret')}"
    refusal = Reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
    hostile.answers["*"] = lambda request: None if request.headers.get("authorization") == right else refusal
    assert try_login(store, hostile.address, "secret") == Credential("me", "secret")
    with pytest.raises(RegistryError, match="does not accept the login of me"):
        try_login(store, hostile.address, "wrong")


def config(tmp_path: Path, document: Any) -> DockerConfig:
    """A configuration."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return DockerConfig(path)


def test_names_in_the_configuration(tmp_path: Path) -> None:
    """Docker's own registry has a name of its own there, others an address; podman's have paths, the longest counts."""
    auth = {name: {"auth": basic(name, "p")} for name in ("https://index.docker.io/v1/", "https://old.example/v1/")}
    auth |= {name: {"auth": basic(name, "p")} for name in ("r.example", "r.example/team", "r.example/team/x")}
    found = config(tmp_path, {"auths": auth}).find
    asked = [("docker.io", "library/x"), ("old.example", "x"), ("r.example", "y"), ("r.example", "team/y")]
    names = [one.username if (one := found(*words)) else None for words in (*asked, ("r.example", "team/x"))]
    assert names == ["https", "https", "r.example", "r.example/team", "r.example/team/x"]
    assert found("other.example", "x") is None


def test_saving_keeps_what_is_not_ours(tmp_path: Path) -> None:
    """Everything else of the file stays; it is readable by its owner alone; a link stays one."""
    kept = config(tmp_path, {"psFormat": "x", "auths": {"a": {"auth": basic("u", "p")}}})
    link = tmp_path / "link.json"
    link.symlink_to(kept.path)
    linked = DockerConfig(link)
    linked.save("b:5000", Credential("me", "secret"))
    linked.save("docker.io", Credential("me", "", "idtok"))
    assert link.is_symlink() and kept.path.stat().st_mode & 0o777 == 0o600
    document = json.loads(kept.path.read_text())
    assert document["psFormat"] == "x" and set(document["auths"]) == {"a", "b:5000", "https://index.docker.io/v1/"}
    assert kept.find("b:5000") == Credential("me", "secret")
    assert kept.find("docker.io") == Credential("me", "", "idtok")
    assert kept.forget("docker.io") and not kept.forget("docker.io")
    assert set(json.loads(kept.path.read_text())["auths"]) == {"a", "b:5000"}


HELPER = """#!/bin/sh
echo "$0 $1" | sed 's/.*credential-//' >> {folder}/calls
case $1 in
get) read server
     grep -q "$server" {folder}/kept 2>/dev/null || {{ echo "credentials not found in native keychain"; exit 1; }}
     echo '{{"ServerURL":"x","Username":"{user}","Secret":"sesame"}}' ;;
store) cat >> {folder}/kept ;;
erase) rm -f {folder}/kept ;;
esac
"""


@pytest.mark.parametrize(
    ("user", "known"), [("me", Credential("me", "sesame")), ("<token>", Credential("", "", "sesame"))]
)
def test_credential_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, known: Credential) -> None:
    """credHelpers for one registry, credsStore for all others; what they keep is in no file of ours."""
    for name in ("one", "all"):
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(HELPER.format(folder=tmp_path, user=user))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    kept = config(tmp_path, {"credsStore": "all", "credHelpers": {"r.example": "one"}})
    assert kept.find("r.example") is None and kept.find("docker.io") is None
    assert kept.save("r.example", known) == "docker-credential-one"
    assert kept.find("r.example", "x") == known
    assert kept.save("docker.io", known) == "docker-credential-all"
    assert kept.forget("r.example") and not kept.forget("r.example")
    assert "sesame" not in kept.path.read_text()
    calls = (tmp_path / "calls").read_text().split("\n")
    assert calls[:3] == ["one get", "all get", "one store"]


def test_helpers_that_are_not_there(tmp_path: Path) -> None:
    """One line; a path is no helper."""
    for helper, why in (("nosuch", "docker-credential-nosuch is not installed"), ("../x", "is not the name of")):
        with pytest.raises(Exception, match=why):
            config(tmp_path, {"credsStore": helper}).find("r.example")


def test_logins_for_one_pull(hostile: Hostile, tokens: TokenServer, pulls: Pulls, tmp_path: Path) -> None:
    """They go before the user's own, the closest name first; older files are understood; helpers are not called."""
    hostile.image(layer())
    log_in(tmp_path, hostile.address, auth=basic("mine", "own"))
    texts = [
        json.dumps({"auths": {"elsewhere": {"auth": basic("a", "b")}}, "credHelpers": {hostile.address: "evil"}}),
        json.dumps({f"{hostile.address}/team": {"username": "given", "password": "secret"}}),
    ]
    pulls(f"{hostile.address}/team/x", logins=texts)
    assert tokens.requests[-1].headers["authorization"] == f"Basic {basic('given', 'secret')}"
    pulls(f"{hostile.address}/other/x", logins=texts)
    assert tokens.requests[-1].headers["authorization"] == f"Basic {basic('mine', 'own')}"
    for text in ("secret words", "[]", '{"auths": 1}'):
        with pytest.raises(InvalidError, match=r"login 1 is no docker config\.json") as caught:
            pulls(f"{hostile.address}/x", logins=[text])
        assert text not in str(caught.value)
