"""What the cache knows again: the same sources elsewhere, and what the line says of stages."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.command import Sandbox
from tests.sandbox.registry.server.running import served

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # in sum: each builds a few images
GOLDEN = [
    "51576449e3c1da2a3bf14735803933df589e1433fd38e736c59b9a19c270e0c8",
    "5cdde9dacde206779ef78cf0a670f1ec53b0019f22e67c6e95e099007fea23ef",
    "8fa8148ebf31b4ef6dd6219a47f40b7b54c30c7ee015394c211ec286d9a65b28",
    "98f58542ee93faf34a73b7764cfd91ca22f2c49eb528084bf81deb0cb4bb4359",
    "9e2aa5cf17f677d79a145e7e8cfbe2918ab52a65980a26dfd6f342268acf6022",
    "b8d10cd3e99e709e118f649d8edbb5a093881b8161dda12529a45694550f9e27",
]


def git(folder: Path, *words: str) -> None:
    """Run git, as somebody."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


def test_a_clone_elsewhere_has_the_same_keys(sandbox: Sandbox, tmp_path: Path) -> None:
    """Neither the folder's name nor the times of files count; modes and links do, and git keeps those."""
    source, clone = tmp_path / "source", tmp_path / "a clone"
    (source / "src" / "inner").mkdir(parents=True)
    (source / "src" / "inner" / "file").write_text(tmp_path.name)
    (source / "src" / "run").write_text("#!/bin/sh\n")
    (source / "src" / "run").chmod(0o755)
    (source / "src" / "link").symlink_to("inner/file")
    mount = "--mount=type=bind,source=src,target=/mnt"
    (source / "Dockerfile").write_text(f"FROM busybox\nWORKDIR /w\nCOPY src .\nRUN {mount} cat /mnt/link link > /out\n")
    (source / ".dockerignore").write_text(".git\n")
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "one")
    first = sandbox("build", str(source))
    assert first.returncode == 0, first.stderr
    git(tmp_path, "clone", "--quiet", str(source), str(clone))
    assert sandbox("build", str(clone)).stderr.count("CACHED") == 3
    (clone / "src" / "run").chmod(0o644)
    assert sandbox("build", str(clone)).stderr.count("CACHED") == 1


def test_stages_that_the_line_names_are_built_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    """By name in any case or number, several with commas; the others come from the cache. What names none is said."""
    text = (
        f"FROM busybox AS one\nRUN echo {tmp_path.name} > /one\nFROM busybox AS two\nRUN echo {tmp_path.name} > /two\n"
    )
    (tmp_path / "Dockerfile").write_text(
        f"{text}FROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /\nRUN echo {tmp_path.name} > /three\n"
    )
    assert sandbox("build", "-q", str(tmp_path)).returncode == 0
    for words, cached in ((("ONE",), 4), (("one,1",), 3), (("0", "two"), 3), (("other",), 5)):
        options = [word for name in words for word in ("--no-cache-filter", name)]
        made = sandbox("build", *options, str(tmp_path))
        assert made.returncode == 0, made.stderr
        assert made.stderr.count("CACHED") == cached, made.stderr
        assert ("--no-cache-filter names no stage: other" in made.stderr) == ("other" in words)


def test_two_hosts_make_one_image(sandbox: Sandbox, tmp_path: Path, hako_home: Path, repository: Path) -> None:
    """With `rewrite-timestamp`, on state directories of their own, at other times; the base image's layers stay."""
    other = Sandbox(hako_home, repository)
    texts = [
        "FROM busybox",
        "COPY file /d/file",
        "RUN rm /bin/yes && ln -s file /d/link && date > /dev/null",
        "WORKDIR /w",
    ]
    assert sandbox("save", "-o", str(tmp_path / "base.tar"), "busybox").returncode == 0
    assert other("load", "-i", str(tmp_path / "base.tar")).returncode == 0
    digests = []
    for number, home in enumerate((sandbox, other)):
        context = tmp_path / str(number)
        context.mkdir()
        (context / "file").write_text(tmp_path.name)
        os.utime(context / "file", (2_000_000_000 + number, 2_000_000_000 + number))
        (context / "Dockerfile").write_text("\n".join(texts))
        plain = home("build", "-q", str(context))  # what the cache has since before has another time
        output = ("--output", "type=image,rewrite-timestamp=true")
        made = home("build", "-q", *output, str(context), SOURCE_DATE_EPOCH="1700000000")
        assert (plain.returncode, made.returncode) == (0, 0), plain.stderr + made.stderr
        assert made.stdout != plain.stdout
        digests.append(made.stdout)
        shown = home("run", "--rm", "--network", "none", made.stdout.strip(), "stat", "-c", "%Y", "/d/file", "/bin/sh")
        own, base = map(int, shown.stdout.split())
        assert own == 1_700_000_000
        assert base != own
        assert home("run", "--rm", "--network", "none", made.stdout.strip(), "ls", "/bin/yes").returncode != 0
    assert digests[0] == digests[1]


def test_a_cache_in_a_folder(sandbox: Sandbox, tmp_path: Path, hako_home: Path, repository: Path) -> None:
    """Another host takes all steps from it, of other stages by `mode=max`; a damaged one is a warning and no more."""
    other = Sandbox(hako_home, repository)
    assert sandbox("save", "-o", str(tmp_path / "base.tar"), "busybox").returncode == 0
    assert other("load", "-i", str(tmp_path / "base.tar")).returncode == 0
    text = "FROM busybox AS one\nRUN echo NAME > /one\nFROM busybox\nCOPY --from=one /one /two\nRUN true\nRUN rm /two\n"
    (tmp_path / "Dockerfile").write_text(text.replace("NAME", tmp_path.name))
    (tmp_path / ".dockerignore").write_text("*")
    folder = tmp_path / "cache"
    source = ("--cache-from", f"type=local,src={folder}")
    for mode in ("min", "max"):
        made = sandbox("build", *source, "--cache-to", f"type=local,dest={folder},mode={mode}", str(tmp_path))
        assert made.returncode == 0, made.stderr
        assert "writing cache manifest" in made.stderr
    for blob in (folder / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    taken = other("build", *source, str(tmp_path))
    assert taken.stderr.count("CACHED") == 4, taken.stderr
    assert other("build", "--no-cache", *source, str(tmp_path)).stderr.count("CACHED") == 0
    assert other("builder", "prune").returncode == 0
    for blob in (folder / "blobs" / "sha256").iterdir():
        blob.write_bytes(b"{}" if blob.read_bytes().startswith(b"{") else b"")
    damaged = other("build", *source, str(tmp_path))
    assert (damaged.returncode, "is no cache of builds" in damaged.stderr) == (0, True), damaged.stderr
    assert "is not understood" in other("build", "--cache-to", "type=s3", str(tmp_path)).stderr


@pytest.fixture
def others(sandbox: Sandbox, tmp_path: Path, hako_home: Path, repository: Path) -> Sandbox:
    """Another host, which has the base image."""
    other = Sandbox(hako_home, repository)
    assert sandbox("save", "-o", str(tmp_path / "base.tar"), "busybox").returncode == 0
    assert other("load", "-i", str(tmp_path / "base.tar")).returncode == 0
    return other


def test_a_cache_in_a_registry(sandbox: Sandbox, others: Sandbox, tmp_path: Path) -> None:
    """Another host takes all steps from it, those of all platforms; one that is not there is a warning."""
    context = tmp_path / "context"
    context.mkdir()
    text = (
        "FROM --platform=$BUILDPLATFORM busybox AS one\nARG TARGETARCH\n"
        "RUN echo NAME $TARGETARCH > /one\nFROM scratch\nCOPY --from=one /one /two\n"
    )
    (context / "Dockerfile").write_text(text.replace("NAME", tmp_path.name))
    platforms = ("--platform", "local,linux/s390x", "-o", str(tmp_path / "out"))
    with served(tmp_path / "registry") as server:
        name = f"{server.address}/cache:1"
        words = ("--cache-to", f"type=registry,ref={name},mode=max,compression=zstd", "--cache-from", name)
        first = sandbox("build", *platforms, *words, str(context))
        assert first.returncode == 0, first.stderr
        assert f"warning: cache {name}: " in first.stderr
        taken = others("build", *platforms, "--cache-from", f"type=registry,ref={name}", str(context))
        assert taken.returncode == 0, taken.stderr
        assert taken.stderr.count("CACHED") == 4, taken.stderr
    assert others("builder", "prune").returncode == 0
    alone = others("build", *platforms, "--cache-from", name, str(context))
    assert (alone.returncode, alone.stderr.count("CACHED")) == (0, 0), alone.stderr
    failed = others("build", *platforms, "--cache-to", name, str(context))
    assert failed.returncode != 0
    forgiven = others("build", *platforms, "--cache-to", f"type=registry,ref={name},ignore-error=true", str(context))
    assert (forgiven.returncode, "warning: registry" in forgiven.stderr) == (0, True), forgiven.stderr


def test_a_cache_in_an_image(sandbox: Sandbox, others: Sandbox, tag: str, tmp_path: Path) -> None:
    """Whoever may pull the image takes its steps; those of other stages are not in it; an image without says so."""
    context = tmp_path / "context"
    context.mkdir()
    text = "FROM busybox AS one\nRUN echo NAME > /one\nFROM busybox\nRUN echo NAME > /three\nCOPY --from=one /one /\n"
    (context / "Dockerfile").write_text(text.replace("NAME", tmp_path.name))
    with served(tmp_path / "registry") as server:
        name = f"{server.address}/{tag}:1"
        made = sandbox("build", "--push", "-t", name, "--cache-to", "type=inline", str(context))
        assert made.returncode == 0, made.stderr
        taken = others("build", "--cache-from", name, str(context))
        assert taken.stderr.count("CACHED") == 2, taken.stderr
        (context / "Dockerfile").write_text(text.replace("NAME", tmp_path.name) + "LABEL a=b\n")
        plain = sandbox("build", "--push", "-t", name, str(context))
        assert plain.returncode == 0, plain.stderr
        assert others("builder", "prune").returncode == 0
        without = others("build", "--cache-from", name, str(context))
        assert "it is an image without a cache" in without.stderr
        sandbox("rmi", "-f", name)


def test_what_a_build_makes_in_one_layer(sandbox: Sandbox, others: Sandbox, tag: str, tmp_path: Path) -> None:
    """With `--squash`: what was deleted is in no layer, what hides the base's files still does; the history stays."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM busybox\nRUN echo {tmp_path.name} > /secret && mkdir -p /d/e && echo 1 > /d/e/1 && rm /bin/yes\n"
        "RUN rm /secret && rm -r /d/e && mkdir /d/e && echo 2 > /d/e/2\n"
        "RUN rm -r /home && mkdir /home && touch /home/new\n"
        "RUN rm -r /var && echo file > /var\nENV A=b\n"
    )
    sandbox("run", "--name", tag, "busybox", "sh", "-c", "mkdir /home/old && touch /home/old/file")
    base = f"{tag}-base"
    sandbox("commit", tag, base)
    sandbox("rm", tag)
    (tmp_path / "Dockerfile").write_text((tmp_path / "Dockerfile").read_text().replace("busybox", base))
    made = sandbox("build", "--squash", "-t", tag, str(tmp_path))
    assert made.returncode == 0, made.stderr
    listed = [len(json.loads(sandbox("image", "inspect", name).stdout)[0]["RootFS"]["Layers"]) for name in (base, tag)]
    assert listed[1] == listed[0] + 1
    script = "ls /secret /bin/yes; ls /home /d/e; cat /var; echo $A"
    assert (
        sandbox("run", "--rm", "--network", "none", tag, "sh", "-c", script).stdout
        == "/d/e:\n2\n\n/home:\nnew\nfile\nb\n"
    )
    assert "squash 4 layers" in sandbox("history", "--no-trunc", tag).stdout
    exported = tmp_path / "image.tar"
    assert sandbox("save", "-o", str(exported), tag).returncode == 0
    assert others("load", "-i", str(exported)).returncode == 0
    assert others("run", "--rm", "--network", "none", tag, "ls", "/home").stdout == "new\n"
    assert sandbox("build", "--squash", str(tmp_path)).stderr.count("CACHED") == 4
    sandbox("rmi", "-f", tag, base)


def test_golden_keys_of_a_file(tmp_path: Path, hako_home: Path, repository: Path) -> None:
    """A whole file has the same keys on every host and day; others would make every cache start anew."""
    context = tmp_path / "context"
    (context / "folder").mkdir(parents=True, mode=0o755)
    (context / "folder" / "file").write_text("content")
    (context / "folder" / "link").symlink_to("file")
    for path, mode in ((context / "folder", 0o755), (context / "folder" / "file", 0o640)):
        path.chmod(mode)
    (context / "Dockerfile").write_text(
        "FROM scratch AS one\nARG NAME=file\nWORKDIR /place\nCOPY --chown=5:6 folder/$NAME .\nFROM scratch\nUSER 7\n"
        "WORKDIR /other\nCOPY --from=one --chmod=0600 /place/file /\nCOPY folder /tree\nCOPY <<E /document\ntext\nE\n"
    )
    assert Sandbox(hako_home, repository)("build", str(context)).returncode == 0
    assert sorted(path.name for path in (hako_home / "images" / "cache").iterdir()) == GOLDEN
