"""Builds that are pushed: one image, an index of several platforms, attestations; and how their layers go."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.registry.server.running import Served, request, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.slow  # in sum: each builds a few images
OTHER = "linux/s390x"  # nobody's machine
ANY = ", ".join(f"application/vnd.oci.image.{kind}.v1+json" for kind in ("manifest", "index"))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Served]:
    """A registry without accounts."""
    with served(tmp_path / "registry") as server:
        yield server


def document(registry: Served, path: str) -> dict[str, Any]:
    """A manifest or index of the registry, or a blob that is JSON."""
    status, _, data = request(registry, "GET", f"/v2/{path}", Accept=ANY)
    assert status == 200, data
    return dict(json.loads(data))


def build(sandbox: Sandbox, folder: Path, *words: str) -> str:
    """What a build says."""
    made = sandbox("build", *words, str(folder))
    assert made.returncode == 0, made.stderr
    return made.stderr


@pytest.mark.parametrize("words", [("--push",), ("-o", "type=registry"), ("-o", "type=image,push=true")])
def test_an_image_is_pushed(
    sandbox: Sandbox, registry: Served, tag: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Under all names of the line, with one digest, which the store's name stands for, too."""
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN echo {tmp_path.name} > /file\n")
    names = [f"{registry.address}/a/{tag}:1", f"{registry.address}/b/{tag}:2"]
    metadata = tmp_path / "metadata"
    said = build(sandbox, tmp_path, "-t", names[0], "-t", names[1], *words, "--metadata-file", str(metadata))
    assert "mounted from a/" in said
    made = json.loads(metadata.read_text())
    digests = [
        request(registry, "HEAD", f"/v2/{path}", Accept=ANY)[1]["Docker-Content-Digest"]
        for path in (f"a/{tag}/manifests/1", f"b/{tag}/manifests/2")
    ]
    assert digests == [made["containerimage.digest"]] * 2
    layers = document(registry, f"a/{tag}/manifests/1")["layers"]
    assert {layer["mediaType"].rpartition("+")[2] for layer in layers} == {"gzip"}
    identifier = sandbox("image", "inspect", "--format", "{{.Id}}", names[1]).stdout.strip()
    assert identifier == made["containerimage.config.digest"]
    sandbox("rmi", "-f", *names)
    assert sandbox("run", "--rm", "--network", "none", names[0], "cat", "/file").stdout == f"{tmp_path.name}\n"
    sandbox("rmi", "-f", names[0])


def test_an_index_is_pushed(sandbox: Sandbox, registry: Served, tag: str, tmp_path: Path) -> None:
    """Several platforms are one name, which others resolve; attestations lie beside; further names have the same."""
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nARG TARGETARCH\nCOPY <<E /arch\n$TARGETARCH {tag}\nE\n")
    name = f"{registry.address}/{tag}"
    words = ["--platform", f"local,{OTHER}", "--push", "--provenance=mode=max", "--sbom=true", "-t", f"{name}:1"]
    build(sandbox, tmp_path, *words, "-t", f"{name}-too:1", "--annotation", "a=b", "--annotation", "index:c=d")
    index = document(registry, f"{tag}/manifests/1")
    assert index == document(registry, f"{tag}-too/manifests/1")
    assert index["annotations"] == {"c": "d"}
    kinds = [entry["platform"]["architecture"] for entry in index["manifests"]]
    assert kinds[1:] == ["s390x", "unknown", "unknown"]
    image = document(registry, f"{tag}/manifests/{index['manifests'][1]['digest']}")
    assert image["annotations"] == {"a": "b"}
    assert document(registry, f"{tag}/blobs/{image['config']['digest']}")["architecture"] == "s390x"
    stated = index["manifests"][3]
    assert stated["annotations"]["vnd.docker.reference.digest"] == index["manifests"][1]["digest"]
    statements = document(registry, f"{tag}/manifests/{stated['digest']}")["layers"]
    for statement in statements:
        (subject, *_) = document(registry, f"{tag}/blobs/{statement['digest']}")["subject"]
        assert f"sha256:{subject['digest']['sha256']}" == index["manifests"][1]["digest"]
    inspected = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "--override-arch=s390x", f"docker://{name}:1"],
        capture_output=True,
        check=True,
    )
    assert json.loads(inspected.stdout)["Architecture"] == "s390x"
    assert tag not in sandbox("images").stdout


def test_how_layers_go(sandbox: Sandbox, registry: Served, tag: str, tmp_path: Path) -> None:
    """In the form that the line names; without a tag, where it says so."""
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nCOPY <<E /file\n{tag}\nE\n")
    name, metadata = f"{registry.address}/{tag}", tmp_path / "metadata"
    for form, ending in (("zstd,compression-level=9", "tar+zstd"), ("uncompressed", "v1.tar"), ("gzip", "tar+gzip")):
        output = f"type=image,push=true,push-by-digest=true,name={name},compression={form},force-compression=true"
        build(sandbox, tmp_path, "-o", output, "--metadata-file", str(metadata))
        digest = json.loads(metadata.read_text())["containerimage.digest"]
        (layer,) = document(registry, f"{tag}/manifests/{digest}")["layers"]
        assert layer["mediaType"].endswith(ending)
    assert document(registry, f"{tag}/tags/list")["tags"] == []
    pushed = sandbox("push", "-q", "--compression", "zstd", f"{name}:latest")
    assert pushed.returncode == 0, pushed.stderr
    (layer,) = document(registry, f"{tag}/manifests/latest")["layers"]
    assert layer["mediaType"].endswith("zstd")
    sandbox("rmi", "-f", name)
    assert sandbox("pull", "-q", name).returncode == 0
    sandbox("rmi", "-f", name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--push",), "needs a name"),
        (("--push", "-t", "x", "-o", "type=oci,dest=x"), "--push is for images"),
        (("-o", "type=oci,dest=x,push=true"), "only images are pushed"),
        (("-o", "type=registry,name=x,compression=lzma"), "there is no compression 'lzma'"),
        (("-o", "type=registry,name=x,compression=zstd,compression-level=99"), "no level '99'"),
        (("-o", "type=registry,name=x,compression=gzip,compression-level=9"), "no levels here"),
        (("-o", "type=registry,name=x,oci-mediatypes=false"), "oci-mediatypes is always so here"),
        (("-o", "type=registry,name=x,flavour=sweet"), "is not understood"),
        (("--cache-to", "type=inline,mode=max"), "steps of its own stage alone"),
        (("--cache-to", "type=registry"), "is not understood"),
        (("--cache-to", "type=registry,ref=A B"), "A B"),
        (("--cache-to", "type=local,dest=x,mode=all"), "mode is min or max"),
        (("--cache-from", "type=gha"), "is not understood"),
    ],
)
def test_what_is_refused(sandbox: Sandbox, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Said before anything is done."""
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    refused = sandbox("build", *words, str(tmp_path))
    assert refused.returncode != 0
    assert message in refused.stderr


def test_a_registry_that_does_not_take_it(sandbox: Sandbox, tag: str, tmp_path: Path) -> None:
    """One line says so, and the build fails."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    with served(tmp_path / "registry", "--read-only") as server:
        failed = sandbox("build", "--push", "-t", f"{server.address}/{tag}", str(tmp_path))
    assert failed.returncode == 125
    assert failed.stderr.splitlines()[-1].startswith("sandbox: ")
    assert "Traceback" not in failed.stderr
