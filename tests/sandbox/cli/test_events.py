"""Events of images, networks and volumes, in docker's words."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox


def happened(sandbox: Sandbox, kind: str, name: str) -> list[str]:
    """What has happened to something, the oldest first."""
    form = "{{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}"
    done = sandbox("events", "--since", "10m", "--until", "0s", "--filter", f"type={kind}", "--format", form)
    return [line.split()[0] for line in done.stdout.splitlines() if name in line]


@pytest.mark.root
def test_networks_and_volumes(sandbox: Sandbox, name: str) -> None:
    """Made, joined, left, removed."""
    network = f"net-{uuid.uuid4().hex[:8]}"
    sandbox("network", "create", network)
    sandbox("run", "-d", "--name", name, "busybox", "sleep", "100")
    sandbox("network", "connect", network, name)
    sandbox("network", "disconnect", network, name)
    sandbox("network", "rm", network)
    assert happened(sandbox, "network", network) == ["create", "connect", "disconnect", "destroy"]
    for _ in range(2):
        sandbox("volume", "create", network)
    sandbox("volume", "rm", network)
    assert happened(sandbox, "volume", network) == ["create", "destroy"]


@pytest.mark.root
def test_what_a_container_has(sandbox: Sandbox, name: str) -> None:
    """Networks are connected and volumes mounted before its start, and both are given back after its death; one that it
    has left meanwhile, not again.
    """
    networks = [f"{name}-one", f"{name}-two"]
    for network in networks:
        sandbox("network", "create", network)
    mounts = ("-v", f"{name}:/data", "-v", "/data/anonymous", "-v", "/etc:/host:ro")
    done = sandbox("run", "-d", "--name", name, "--network", networks[0], *mounts, "busybox", "sleep", "100")
    assert done.returncode == 0, done.stderr
    sandbox("network", "connect", networks[1], name)
    sandbox("network", "disconnect", networks[0], name)
    sandbox("rm", "-f", "-v", name)
    form = "{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}"
    told = sandbox("events", "--since", "10m", "--until", "0s", "--format", form).stdout.splitlines()
    mine = [line.split(" ", 3) for line in told if done.stdout.strip() in line]
    assert [f"{kind} {action}" for kind, action, *_ in mine] == [
        "container create",
        "network connect",
        "volume mount",
        "volume mount",
        "container start",
        "network connect",
        "network disconnect",
        "container die",
        "network disconnect",
        "volume unmount",
        "volume unmount",
        "container stop",
        "container destroy",
    ]
    assert [json.loads(line[3])["name"] for line in mine if line[0] == "network"] == [*networks, *networks]
    assert json.loads(mine[2][3]) == {
        "container": done.stdout.strip(),
        "destination": "/data",
        "driver": "local",
        "propagation": "",
        "read/write": "true",
    }
    assert mine[2][2] == name
    for network in networks:
        assert sandbox("network", "rm", network).returncode == 0
    sandbox("volume", "rm", name)


@pytest.mark.slow
def test_an_image_from_a_web_server(sandbox: Sandbox, tmp_path: Path) -> None:
    """Imported by its address, tagged, saved compressed, removed, loaded again; each is told."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"), io.BytesIO())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/root.tar":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content.getvalue())
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    name = f"from-web-{uuid.uuid4().hex[:8]}"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        place = f"http://127.0.0.1:{server.server_port}"
        made = sandbox("import", f"{place}/root.tar", f"{name}:1")
        missing = sandbox("import", f"{place}/nothing", name)
        server.shutdown()
    assert made.returncode == 0, made.stderr
    assert f"cannot fetch {place}/nothing: not found" in missing.stderr
    unreachable = sandbox("import", f"{place}/root.tar")
    assert "connection refused" in unreachable.stderr
    sandbox("tag", f"{name}:1", f"{name}:2")
    for form in ("gzip", "zstd"):
        saved = str(tmp_path / form)
        assert sandbox("save", "--compress", form, "-o", saved, f"{name}:1").returncode == 0
        sandbox("rmi", f"{name}:1", f"{name}:2")
        assert f"{name}:1" in sandbox("load", "-i", saved).stdout
    assert "cannot be had" in sandbox("save", "--compress", "lzma", "-o", saved, f"{name}:1").stderr
    sandbox("rmi", f"{name}:1")
    told = happened(sandbox, "image", name)
    assert told[:5] == ["import", "tag", "untag", "untag", "delete"]
    assert told[5:] == ["load", "untag", "delete", "load", "untag", "delete"]
