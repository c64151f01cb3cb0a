"""Builds for other platforms, for several at once, and the archives that they are written to, read by skopeo too."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.image.platform import host
from tests.sandbox.registry.server.running import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.slow  # in sum: each builds a few images
OTHER = "linux/s390x"  # nobody's machine


def build(sandbox: Sandbox, context: Path, text: str, *words: str) -> str:
    """What a build says."""
    (context / "Dockerfile").write_text(text)
    made = sandbox("build", *words, str(context))
    assert made.returncode == 0, made.stderr
    return made.stderr


def blob(layout: Path, digest: str) -> dict[str, Any]:
    """A document of a layout, which is what its name says."""
    data = (layout / "blobs" / "sha256" / digest.partition(":")[2]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest.partition(":")[2]
    return dict(json.loads(data))


def top(layout: Path) -> dict[str, Any]:
    """The one descriptor of a layout's index."""
    (descriptor,) = json.loads((layout / "index.json").read_text())["manifests"]
    return dict(descriptor)


def test_several_platforms(sandbox: Sandbox, tmp_path: Path) -> None:
    """An index with an image for each; arguments say which; what the build's platform makes serves all."""
    layout, archive = tmp_path / "layout", tmp_path / "archive.tar"
    text = (
        "FROM --platform=$BUILDPLATFORM busybox AS tool\nARG TARGETARCH TARGETVARIANT\n"
        "RUN echo $TARGETARCH$TARGETVARIANT > /arch\nFROM scratch\nCOPY --from=tool /arch /\n"
    )
    words = ["--platform", f"local,{OTHER}", "--platform=linux/arm/7", "-t", "example.com/several:1"]
    metadata = tmp_path / "metadata"
    said = build(
        sandbox, tmp_path, text, *words, "-o", f"type=oci,dest={layout},tar=false", "--metadata-file", str(metadata)
    )
    assert f"[{OTHER} tool 2/2] RUN" in said
    root = top(layout)
    assert root["annotations"]["io.containerd.image.name"] == "example.com/several:1"
    assert json.loads(metadata.read_text())["containerimage.digest"] == root["digest"]
    assert json.loads(metadata.read_text())["image.name"] == "example.com/several:1"
    index = blob(layout, root["digest"])
    platforms = [entry["platform"] for entry in index["manifests"]]
    assert platforms[1:] == [
        {"os": "linux", "architecture": "s390x"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
    ]
    arm = blob(layout, blob(layout, index["manifests"][2]["digest"])["config"]["digest"])
    assert (arm["architecture"], arm["variant"]) == ("arm", "v7")
    build(sandbox, tmp_path, text, *words, "-o", f"type=oci,dest={archive}")
    inspected = subprocess.run(
        ["skopeo", "inspect", "--override-arch=s390x", f"oci-archive:{archive}"], capture_output=True, check=True
    )
    assert json.loads(inspected.stdout)["Architecture"] == "s390x"
    copied = tmp_path / "copied"
    subprocess.run(["skopeo", "copy", "-q", "--all", f"oci-archive:{archive}", f"dir:{copied}"], check=True)
    assert len(json.loads((copied / "manifest.json").read_text())["manifests"]) == 3
    build(sandbox, tmp_path, text, *words[:2], "-o", f"type=local,dest={tmp_path / 'files'}")
    assert (tmp_path / "files" / "linux_s390x" / "arch").read_text() == "s390x\n"
    assert (tmp_path / "files" / str(host()).replace("/", "_") / "arch").read_text() == f"{host().architecture}\n"


def test_bases_of_another_platform(sandbox: Sandbox, tag: str, tmp_path: Path) -> None:
    """An image of one platform is no base for another; a layout has one for each; a RUN needs an emulator."""
    layout = tmp_path / "layout"
    text = "FROM scratch\nARG TARGETARCH\nCOPY <<E /arch\n$TARGETARCH\nE\n"
    words = ["--platform", f"local,{OTHER}", "-t", "base:1"]
    build(sandbox, tmp_path, text, *words, "-o", f"type=oci,dest={layout},tar=false")
    context = ["--build-context", f"base=oci-layout://{layout}:1"]
    build(sandbox, tmp_path, "FROM base\nLABEL a=b", "--platform", OTHER, "-t", tag, *context)
    assert json.loads(sandbox("image", "inspect", tag).stdout)[0]["Architecture"] == "s390x"
    build(sandbox, tmp_path, "FROM base\nCOPY --from=base /arch /2", *words[:2], *context, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "linux_s390x" / "2").read_text() == "s390x\n"
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN true")
    refused = sandbox("build", "--platform", OTHER, *context, str(tmp_path))
    assert "RUN in line 2 is for s390x, and nothing here executes that" in refused.stderr
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    refused = sandbox("build", "--platform", OTHER, str(tmp_path))
    assert f"not for {OTHER}" in refused.stderr
    assert "--build-context" in refused.stderr


def test_outputs(sandbox: Sandbox, tag: str, tmp_path: Path) -> None:
    """One image without an index, in a layout or for docker; the store has none of them; ids are the same."""
    text = f"FROM busybox\nLABEL test={tmp_path.name}\n"
    identifier, metadata, docker = tmp_path / "id", tmp_path / "metadata", tmp_path / "docker.tar"
    build(
        sandbox,
        tmp_path,
        text,
        "-o",
        f"type=docker,dest={docker}",
        "-t",
        tag,
        "--iidfile",
        str(identifier),
        "--metadata-file",
        str(metadata),
    )
    assert tag not in sandbox("images").stdout
    assert json.loads(metadata.read_text())["containerimage.config.digest"] == identifier.read_text()
    loaded = sandbox("load", "-i", str(docker))
    assert loaded.returncode == 0, loaded.stderr
    assert sandbox("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip() == identifier.read_text()
    layout = tmp_path / "layout"
    words = ["--annotation", "a.b=c", "--annotation", "manifest:d=e", "-o", f"type=oci,dest={layout},tar=false"]
    build(sandbox, tmp_path, text, *words, "-t", "x:y")
    manifest = blob(layout, top(layout)["digest"])
    assert manifest["config"]["digest"] == identifier.read_text()
    assert manifest["annotations"] == {"a.b": "c", "d": "e"}
    assert top(layout)["annotations"]["org.opencontainers.image.ref.name"] == "y"
    assert "is not empty" in sandbox("build", *words, str(tmp_path)).stderr
    build(sandbox, tmp_path, text, "-o", f"type=image,name={tag}")
    assert sandbox("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip() == identifier.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--platform", "windows/amd64"), "containers here are Linux's"),
        (("--platform", "a/b/c/d"), "invalid platform"),
        (("--platform", f"local,{OTHER}"), "type=oci"),
        (("-o", "type=tar", "--platform", f"local,{OTHER}"), "type=oci"),
        (("-o", "type=flat"), "write type=KIND"),
        (("-o", "type=oci,tar=false"), "names no folder"),
        (("-o", "type=tar,dest=x,tar=false"), "type=oci"),
        (("-o", "type=image,dest=x"), "no dest"),
        (("-o", "type=local,dest=x", "-t", "y"), "neither --tag"),
        (("--annotation", "x"), "NAME=VALUE"),
        (("--annotation", "index:x=y"), "there is no index"),
        (("--annotation", "index-descriptor:x=y"), "write manifest: or index:"),
    ],
)
def test_what_does_not_go_together(sandbox: Sandbox, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Said before anything is done."""
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    refused = sandbox("build", *words, str(tmp_path))
    assert refused.returncode != 0
    assert message in refused.stderr


def test_bases_of_a_registry(sandbox: Sandbox, tag: str, tmp_path: Path) -> None:
    """Each platform has its own image of the name; pulled once, and without harm to what the name is here."""
    layout = tmp_path / "layout"
    text = "FROM scratch\nARG TARGETARCH\nCOPY <<E /arch\n$TARGETARCH\nE\n"
    words = ["--platform", f"local,{OTHER}"]
    build(sandbox, tmp_path, text, *words, "-t", "base:1", "-o", f"type=oci,dest={layout},tar=false")
    with served(tmp_path / "registry") as server:
        name = f"{server.address}/{tag}:1"
        subprocess.run(
            ["skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{name}"],
            check=True,
            capture_output=True,
        )
        try:
            build(sandbox, tmp_path, f"FROM {name}", *words, "-o", str(tmp_path / "out"))
            assert (tmp_path / "out" / "linux_s390x" / "arch").read_text() == "s390x\n"
            here = tmp_path / "out" / str(host()).replace("/", "_") / "arch"
            assert here.read_text() == f"{host().architecture}\n"
            listed = sandbox("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
            assert {name, f"{name}.linux-s390x"} <= set(listed)
            server.kill()
            build(sandbox, tmp_path, f"FROM {name}", *words, "-o", str(tmp_path / "again"))
        finally:
            sandbox("rmi", "-f", name, f"{name}.linux-s390x")
