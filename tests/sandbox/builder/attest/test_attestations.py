"""`--sbom` and `--provenance`: statements beside the image in its index, as BuildKit has them."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.builder.remote_server import repository, serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.slow  # in sum: each builds a few images
HUSH = "hush-hush"
STATUS = "Package: tool\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"


def blob(layout: Path, digest: str) -> dict[str, Any]:
    """A document of a layout."""
    return dict(json.loads((layout / "blobs" / "sha256" / digest.partition(":")[2]).read_bytes()))


def statements(layout: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The digest of the one image, and what is said of it, by the type."""
    (top,) = json.loads((layout / "index.json").read_text())["manifests"]
    image, beside = blob(layout, top["digest"])["manifests"]
    assert beside["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert beside["annotations"] == {
        "vnd.docker.reference.digest": image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    found = {}
    for layer in blob(layout, beside["digest"])["layers"]:
        assert layer["mediaType"] == "application/vnd.in-toto+json"
        statement = blob(layout, layer["digest"])
        assert statement["predicateType"] == layer["annotations"]["in-toto.io/predicate-type"]
        assert {subject["digest"]["sha256"] for subject in statement["subject"]} == {image["digest"].partition(":")[2]}
        found[statement["predicateType"]] = statement["predicate"]
    return image["digest"], found


def test_attestations(sandbox: Sandbox, tmp_path: Path) -> None:
    """The packages of the image, what went into it, and in `max` arguments and the Dockerfile; never a secret."""
    root, layout = tmp_path / "root", tmp_path / "layout"
    text = "FROM busybox\nARG V\nCOPY status /var/lib/dpkg/status\nRUN --mount=type=secret,id=s,env=S true $V\n"
    commit = repository(root / "r", {"Dockerfile": text, "status": STATUS})
    with serving(root) as server:
        url = f"{server.address}/r.git"
        words = ["--secret", "id=s,env=SECRET", "--build-arg", "V=value", "-t", "x:1", "--sbom=true"]
        for mode in ("mode=min", "mode=max"):
            made = sandbox(
                "build", *words, f"--provenance={mode}", "-o", f"type=oci,dest={layout / mode},tar=false", url,
                SECRET=HUSH,
            )  # fmt: skip
            assert made.returncode == 0, made.stderr
    digest, least = statements(layout / "mode=min")
    predicate = least["https://slsa.dev/provenance/v0.2"]
    source = {"uri": f"{url}#", "digest": {"sha1": commit}}
    assert predicate["invocation"]["configSource"] == source | {"entryPoint": "Dockerfile"}
    assert source in predicate["materials"]
    assert any(one["uri"].startswith("pkg:docker/busybox?") for one in predicate["materials"])
    assert predicate["invocation"]["parameters"]["args"] == {}
    assert [package["name"] for package in least["https://spdx.dev/Document"]["packages"]] == ["x:1", "tool"]
    same, most = statements(layout / "mode=max")
    assert same == digest
    predicate = most["https://slsa.dev/provenance/v0.2"]
    assert predicate["invocation"]["parameters"]["args"] == {"build-arg:V": "value"}
    shown = predicate["metadata"]["urn:hako:dockerfile-build:1#metadata"]["source"]["data"]
    assert base64.b64decode(shown).decode().strip() == text.strip()
    assert subprocess.run(["grep", "-r", HUSH, layout], check=False, capture_output=True).stdout == b""
    loaded = sandbox(
        "build",
        "--build-context",
        f"base=oci-layout://{layout / 'mode=max'}:1",
        "-o",
        str(tmp_path / "files"),
        "-",
        stdin="FROM base",
    )
    assert loaded.returncode == 0, loaded.stderr
    inspected = subprocess.run(["skopeo", "inspect", f"oci:{layout / 'mode=max'}:1"], check=True, capture_output=True)
    assert json.loads(inspected.stdout)["Os"] == "linux"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sbom=true",), "type=oci"),
        (("--provenance=true", "-o", "-"), "type=oci"),
        (("--provenance=some", "-o", "type=oci"), "mode=max"),
        (("--sbom=generator=x", "-o", "type=oci"), "one scanner"),
        (("--attest", "type=other", "-o", "type=oci"), "type=sbom"),
    ],
)
def test_what_is_refused(sandbox: Sandbox, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Statements need an index; what is not understood is said first."""
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    refused = sandbox("build", *words, str(tmp_path))
    assert refused.returncode != 0
    assert message in refused.stderr


def test_none_by_default(sandbox: Sandbox, tmp_path: Path) -> None:
    """`false` and nothing make a plain manifest."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b")
    for number, words in enumerate((["--provenance=false", "--sbom=false"], [])):
        made = sandbox("build", *words, "-o", f"type=oci,tar=false,dest={tmp_path / str(number)}", str(tmp_path))
        assert made.returncode == 0, made.stderr
        (top,) = json.loads((tmp_path / str(number) / "index.json").read_text())["manifests"]
        assert top["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
