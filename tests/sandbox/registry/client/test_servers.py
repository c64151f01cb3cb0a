"""Which servers a registry's name leads to: files, mirrors, certificates, proxies; and the commands on Debian's
registry, with TLS and a login.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.errors import InvalidError
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.hosts import Trust, endpoints
from sandbox.registry.client.proxies import Proxies
from tests.sandbox.command import Sandbox
from tests.sandbox.registry.client.conftest import certificate, layer
from tests.sandbox.registry.client.servers import DEBIANS, HTPASSWD, PASSWORD, USER, Hostile, Reply, debians

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.image.store import ImageStore


def write(folder: Path, host: str, text: str, name: str = "hosts.toml") -> Path:
    """A file of certs.d."""
    (folder / host).mkdir(parents=True, exist_ok=True)
    (folder / host / name).write_text(text)
    return folder


def test_without_files(tmp_path: Path) -> None:
    """TLS; docker's own registry has a host of another name; this host's may do without."""
    urls = {
        name: [one.url for one in endpoints(name, [tmp_path])]
        for name in ("docker.io", "r.example:5000", "localhost:5000")
    }
    assert urls == {
        "docker.io": ["https://registry-1.docker.io/v2"],
        "r.example:5000": ["https://r.example:5000/v2"],
        "localhost:5000": ["https://localhost:5000/v2"],
    }
    for own, verify, plain in (("127.0.0.1:5000", True, True), ("r.example", False, True), ("r.example", True, False)):
        (endpoint,) = endpoints(own, [tmp_path], verify=verify)
        assert (endpoint.may_be_plain, endpoint.trust.verify) == (plain, not plain)


def test_containerds_file(tmp_path: Path) -> None:
    """Mirrors in their order, the server last; keys of both; paths beside the file."""
    text = """
    server = "https://registry-1.docker.io"
    ca = "/etc/own.crt"
    [host."https://m.example/cache/v2"]
    override_path = true
    capabilities = ["pull", "resolve"]
    client = [["c.crt", "c.key"]]
    [host."https://m.example/cache/v2".header]
    X-Team = ["a", "b"]
    [host."http://plain.example:5000"]
    skip_verify = true
    """
    first, second, own = endpoints("docker.io", [write(tmp_path, "docker.io", text)])
    assert (first.url, first.headers, first.namespace) == (
        "https://m.example/cache/v2",
        (("X-Team", "a, b"),),
        "docker.io",
    )
    assert first.capabilities == {"pull", "resolve"}
    assert first.trust.certificates == ((str(tmp_path / "docker.io/c.crt"), str(tmp_path / "docker.io/c.key")),)
    assert (second.url, second.trust.verify) == ("http://plain.example:5000/v2", False)
    assert (own.url, own.namespace, own.trust) == (
        "https://registry-1.docker.io/v2",
        "",
        Trust(authorities=("/etc/own.crt",)),
    )


def test_dockers_files(tmp_path: Path) -> None:
    """Authorities and pairs by their names' ends; the first folder of the host counts, `_default` last of all."""
    write(tmp_path / "a", "_default", "", "any.crt")
    for name in ("ca.crt", "me.cert", "me.key"):
        write(tmp_path / "b", "r.example:5000", "", name)
    (endpoint,) = endpoints("r.example:5000", [tmp_path / "a", tmp_path / "b"])
    folder = tmp_path / "b/r.example:5000"
    assert endpoint.trust.authorities == (str(folder / "ca.crt"),)
    assert endpoint.trust.certificates == ((str(folder / "me.cert"), str(folder / "me.key")),)
    (other,) = endpoints("other.example", [tmp_path / "a", tmp_path / "b"])
    assert other.trust.authorities == (str(tmp_path / "a/_default/any.crt"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("server = 1", "server is not an address"),
        ("sevrer = 'x'", "sevrer is not known"),
        ("server = 'ftp://x'", "is not the address of a server"),
        ("[host.'https://m']\ncapabilities = ['pul']", "capabilities is a list of"),
        ("[host.'https://m']\nskip_verify = 'no'", "is neither true nor false"),
        ("[host.'https://m']\nclient = [['a', 'b', 'c']]", "is a list of pairs"),
        ("[host.'https://m'.header]\na = 1", "header.a is not a text"),
        ("host = 1", "host is not a table"),
        ("= 1", "hosts.toml: "),
    ],
)
def test_mistakes_in_files(tmp_path: Path, text: str, why: str) -> None:
    """One line that names the file and the key."""
    with pytest.raises(InvalidError, match=why):
        endpoints("r.example", [write(tmp_path, "r.example", text)])


@pytest.mark.parametrize(
    ("without", "url", "found"),
    [
        ("", "https://r.example/v2", "http://p:1"),
        ("r.example", "https://r.example/v2", ""),
        (".example", "https://r.example/v2", ""),
        ("example", "https://r.example/v2", ""),
        ("ample", "https://r.example/v2", "http://p:1"),
        ("*", "https://r.example/v2", ""),
        ("r.example:80", "https://r.example/v2", "http://p:1"),
        ("r.example:443", "https://r.example/v2", ""),
        ("10.0.0.0/8", "https://10.1.2.3/v2", ""),
        ("10.0.0.0/8", "https://11.1.2.3/v2", "http://p:1"),
        ("", "https://127.0.0.1:5000/v2", ""),
        ("", "https://localhost/v2", ""),
        ("", "http://r.example/v2", "http://q:2"),
    ],
)
def test_proxies(without: str, url: str, found: str) -> None:
    """As Go's programs read the environment."""
    assert Proxies({"https_proxy": "p:1", "HTTP_PROXY": "http://q:2", "no_proxy": without}).find(url) == found


def test_a_proxy_is_used(hostile: Hostile, pulls: Callable[..., Any], store: ImageStore) -> None:
    """A registry without TLS is asked through it, with its password; one that is away is named."""
    hostile.image(layer())
    write(store.home / "certs.d", "r.example", 'server = "http://r.example"')
    environment = {"http_proxy": f"http://me:secret@{hostile.address}", "HOME": str(store.home)}
    pulls("r.example/x", environment=environment)
    assert hostile.requests[0].path == "http://r.example/v2/x/manifests/latest"
    assert hostile.requests[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
    environment["http_proxy"] = "http://me:secret@127.0.0.1:1"
    with pytest.raises(RegistryError, match=r"the proxy 127.0.0.1:1 does not lead to registry r.example"):
        pulls("r.example/y", environment=environment)


def test_mirrors_come_first(hostile: Hostile, pulls: Callable[..., Any], store: ImageStore) -> None:
    """A mirror is told whose it is; one that does not have it, or is away, is passed over."""
    mirror = Hostile()
    try:
        mirror.image(layer())
        text = f'server = "http://{hostile.address}"\n[host."http://127.0.0.1:1"]\n[host."http://{mirror.address}"]\n'
        write(store.home / "certs.d", "r.example", text)
        assert pulls("r.example/x").image.references == ("r.example/x:latest",)
        assert mirror.requests[0].path == "/v2/x/manifests/latest?ns=r.example"
        assert hostile.requests == []
        hostile.image(layer("b"), tag="2")
        assert pulls("r.example/x:2").new
        mirror.answers["*"] = lambda _: Reply(500)
        with pytest.raises(RegistryError, match=f"registry {hostile.address} has no r.example/x:3"):
            pulls("r.example/x:3")
    finally:
        mirror.close()


def test_certificates(registry: str, pulls: Callable[..., Any], store: ImageStore, tmp_path: Path) -> None:
    """One of an authority that nobody knows is refused with the folder to put it in; there it is trusted."""
    crt, key = certificate(tmp_path / "tls")
    with debians(tmp_path / "secure", {"tls": {"certificate": str(crt), "key": str(key)}}) as address:
        name = f"{address}/nothing"
        text = f'server = "https://{address}"'
        certs = write(store.home / "certs.d", address, text)
        with pytest.raises(RegistryError, match=r"certificate of registry .* is not to be trusted: self") as caught:
            pulls(name)
        assert f"certs.d/{address}/ca.crt" in caught.value.hint
        for trusted in (f'{text}\nca = "{crt}"', f"{text}\nskip_verify = true"):
            write(store.home / "certs.d", address, trusted)
            with pytest.raises(RegistryError, match="has no"):
                pulls(name)
        (certs / address / "hosts.toml").unlink()
        (certs / address / "ca.crt").write_bytes(crt.read_bytes())
        with pytest.raises(RegistryError, match="has no"):
            pulls(name)
    write(store.home / "certs.d", registry, f'server = "https://{registry}"')
    with pytest.raises(RegistryError, match="does not speak TLS"):
        pulls(f"{registry}/x")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """Debian's registry with TLS and one account."""
    if DEBIANS is None:
        pytest.skip("docker-registry is not installed")
    crt, key = certificate(tmp_path / "tls")
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    with debians(tmp_path / "guarded", {"tls": {"certificate": str(crt), "key": str(key)}}, auth=auth) as address:
        yield address


@pytest.mark.root
def test_the_commands(guarded: str, hako_home: Path, repository: Path, tmp_path: Path) -> None:
    """login, push, run with a pull, logout: what is printed, and where the password is."""
    sandbox = Sandbox(hako_home, repository)
    sandbox.environment |= {"DOCKER_CONFIG": str(tmp_path / "docker")}
    name = f"{guarded}/team/busybox"
    assert sandbox("bootstrap", "--tag", name, "busybox").returncode == 0
    refused = sandbox("push", name)
    assert (refused.returncode, "wants a login" in refused.stderr) == (125, True)
    wrong = sandbox("login", "-u", USER, "--password-stdin", guarded, stdin="guess")
    assert wrong.stderr == f"sandbox: registry {guarded} does not accept the login of {USER}\n"
    login = sandbox("login", "-u", USER, "--password-stdin", guarded, stdin=f"{PASSWORD}\n")
    assert (login.returncode, login.stdout) == (0, "Login Succeeded\n")
    entries = json.loads((tmp_path / "docker/config.json").read_text())["auths"]
    assert list(entries) == [guarded]
    pushed = sandbox("push", name)
    lines = pushed.stdout.splitlines()
    assert lines[:2] == ["Using default tag: latest", f"The push refers to repository [{name}]"]
    assert lines[2].endswith(": Pushed") and lines[3].startswith("latest: digest: sha256:")
    assert sandbox("push", "--quiet", name).stdout == f"{name}:latest\n"
    assert sandbox("rmi", name).returncode == 0
    ran = sandbox("run", "--rm", "--network", "none", name, "echo", "hello")
    assert (ran.returncode, ran.stdout) == (0, "hello\n")
    pulled = sandbox("pull", name).stdout
    digest = lines[3].split()[2]
    assert f"Digest: {digest}\nStatus: Image is up to date for {name}:latest\n{name}:latest\n" in pulled
    assert sandbox("pull", "-q", "--all-tags", name).stdout == f"{name}:latest\n"
    assert sandbox("logout", guarded).stdout == f"Removing login credentials for {guarded}\n"
    assert sandbox("logout", guarded).stdout == f"Not logged in to {guarded}\n"
    assert "wants a login" in sandbox("pull", name).stderr
