"""Whole builds on the real engine: what is in the image, what the cache does, what failures leave."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.command import Sandbox
from tests.sandbox.runtime.images import copy_busybox

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow  # in sum: each builds a few images


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """An empty context."""
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def write(context: Path, text: str) -> str:
    """Write the Dockerfile; a variable of its own keeps it from other tests' cache."""
    marked = re.sub("^(FROM busybox.*)$", rf"\1\nENV TEST={context.parent.name}", text, flags=re.MULTILINE)
    (context / "Dockerfile").write_text(marked)
    return str(context)


def config(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """An image's configuration."""
    return dict(json.loads(sandbox("image", "inspect", name).stdout)[0]["Config"])


def show(sandbox: Sandbox, name: str, script: str) -> str:
    """What a script prints in a container of the image."""
    return sandbox("run", "--rm", "--network", "none", name, "sh", "-c", script).stdout


def test_stages(sandbox: Sandbox, tag: str, context: Path) -> None:
    """Files of one stage end in another; settings are in the configuration."""
    (context / "main").write_text("from the context")
    write(
        context,
        """
        ARG WHO=world
        FROM busybox AS build
        ARG WHO
        WORKDIR /src
        COPY main .
        RUN echo "hello $WHO" > out && cat main >> out
        FROM busybox
        COPY --from=build --chown=1000:100 --chmod=0600 /src/out /data/
        COPY <<EOF <<"PLAIN" /texts/
        test is ${TEST:+set}
        EOF
        test is $TEST
        PLAIN
        EXPOSE 80
        USER 1000
        CMD ["cat", "/data/out"]
        """.replace("        ", ""),
    )
    made = sandbox("build", "-t", tag, "--label", "a=b", "--build-arg", "WHO=you", str(context))
    assert made.returncode == 0, made.stderr
    assert re.search(r"^#\d+ \[build 2/4\] WORKDIR /src$", made.stderr, re.MULTILINE)
    assert sandbox("run", "--rm", tag).stdout == "hello you\nfrom the context"
    assert show(sandbox, tag, "stat -c '%u:%g %a' /data/out; cat /texts/EOF /texts/PLAIN") == (
        "1000:100 600\ntest is set\ntest is $TEST\n"
    )
    found = config(sandbox, tag)
    assert (found["User"], found["ExposedPorts"], found["Labels"]) == ("1000", {"80/tcp": {}}, {"a": "b"})


def test_the_cache(sandbox: Sandbox, context: Path) -> None:
    """Nothing is done twice, whatever the time of files; what changed is done, and all after it."""
    (context / "file").write_text("one")
    place = write(context, "FROM busybox\nRUN echo before > /a\nCOPY file /\nRUN echo after > /b")
    first = sandbox("build", "-q", place)
    (context / "file").touch()
    again = sandbox("build", place)
    assert again.stderr.count("CACHED") == 3
    assert sandbox("build", "-q", place).stdout == first.stdout
    (context / "file").write_text("two")
    assert sandbox("build", place).stderr.count("CACHED") == 1
    assert sandbox("build", "--no-cache", place).stderr.count("CACHED") == 0


def test_arguments_and_the_cache(sandbox: Sandbox, context: Path) -> None:
    """A declared argument counts from its ARG on; a proxy never does."""
    place = write(context, "FROM busybox\nRUN true > /a\nARG V\nRUN echo $V$http_proxy > /b")
    sandbox("build", "-q", place)
    assert sandbox("build", "--build-arg", "V=1", place).stderr.count("CACHED") == 1
    assert sandbox("build", "--build-arg", "V=1", "--build-arg", "http_proxy=x", place).stderr.count("CACHED") == 2


def test_a_failing_command(sandbox: Sandbox, context: Path) -> None:
    """The build ends with its output and exit code; what was finished is kept, nothing else is left."""
    place = write(context, "FROM busybox\nRUN echo kept > /a\nRUN echo about to fail; exit 7")
    failed = sandbox("build", place)
    assert failed.returncode == 1
    assert "about to fail" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith(f"sandbox: {context / 'Dockerfile'}:4: process '/bin/sh")
    assert "exit code: 7" in failed.stderr.splitlines()[-1]
    assert sandbox("build", place).stderr.count("CACHED") == 1
    assert "about to fail" not in sandbox("ps", "-a", "--no-trunc").stdout


def test_mounts(sandbox: Sandbox, tmp_path: Path, tag: str, context: Path) -> None:
    """Binds are read-only and leave no trace, caches stay, secrets and temporary folders go; all that in one RUN."""
    (context / "src").mkdir()
    (context / "src" / "f").write_text("bound\n")
    (tmp_path / "s").write_text("hidden\n")
    flags = "--mount=type=bind,source=src,target=/mnt/src --mount=type=secret,id=s --mount=type=tmpfs,target=/t"
    cache = f"--mount=type=cache,id={context.parent},target=/cache,mode=0711"
    script = "cat /mnt/src/f /run/secrets/s; echo x >> /cache/x; wc -l < /cache/x; stat -c %a /cache; "
    script += "touch /mnt/src/g || echo read-only"
    place = write(context, f"FROM busybox\nRUN {flags} {cache} {script}")
    made = sandbox("build", "--no-cache", "-t", tag, "--secret", f"id=s,src={tmp_path / 's'}", place)
    printed = [line.split(" ", 2)[2] for line in made.stderr.splitlines() if line.startswith("#2 0.")]
    assert [line for line in printed if "touch" not in line] == ["bound", "hidden", "1", "711", "read-only"]
    again = sandbox("build", "--no-cache", "--secret", f"id=s,src={tmp_path / 's'}", place)
    assert any(line.endswith(" 2") for line in again.stderr.splitlines())
    assert show(sandbox, tag, "ls -A /mnt /run /cache /t 2>&1 | grep -c -e src -e secrets") == "0\n"
    required = write(context, "FROM busybox\nRUN --mount=type=secret,id=none,required cat /run/secrets/none")
    assert "the secret 'none' is required" in sandbox("build", required).stderr


def test_scripts(sandbox: Sandbox, context: Path) -> None:
    """A here-document is a script: for the shell, for its own interpreter, or input for a command."""
    text = "RUN <<EOF\necho one\nEOF\nRUN <<-A\n\t#!/bin/sh -e\n\techo two $0\n\tA\n"
    text += "RUN cat <<X && cat <<Y\nthree\nX\nfour\nY\n"
    printed = sandbox("build", write(context, f"FROM busybox\n{text}")).stderr
    assert [word in printed for word in ("one", "two /dev/pipes/A", "three", "four")] == [True] * 4


def test_standard_input(sandbox: Sandbox, tag: str) -> None:
    """A Dockerfile alone has no files; an archive has all of a context."""
    assert sandbox("build", "-t", tag, "-", stdin="FROM busybox\nRUN echo ruby > /lang\n").returncode == 0
    assert show(sandbox, tag, "cat /lang") == "ruby\n"
    assert "is not in the context" in sandbox("build", "-", stdin="FROM busybox\nCOPY x /\n").stderr
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in (
            ("Dockerfile", b"FROM busybox\nCOPY . /in/\n"),
            ("x", b"1"),
            (".dockerignore", b"Dockerfile"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert sandbox("build", "-t", tag, "-", stdin=stream.getvalue()).returncode == 0
    assert show(sandbox, tag, "ls -A /in") == ".dockerignore\nx\n"


def test_triggers(sandbox: Sandbox, tag: str, context: Path) -> None:
    """ONBUILD runs in the image or stage that is built on top, and not in those on top of that."""
    sandbox("build", "-t", tag, write(context, "FROM busybox\nONBUILD RUN echo triggered > /t"))
    made = sandbox("build", "-t", tag, "-", stdin=f"FROM {tag}\n")
    assert show(sandbox, tag, "cat /t") == "triggered\n", made.stderr
    assert "OnBuild" not in config(sandbox, tag)
    stages = "FROM busybox AS files\nRUN echo from > /f\nFROM busybox AS base\nONBUILD COPY --from=files /f /\n"
    place = write(context, f"{stages}FROM base AS one\nRUN echo more >> /f\nFROM one\n")
    assert sandbox("build", "-t", tag, place).returncode == 0
    assert show(sandbox, tag, "cat /f") == "from\nmore\n"
    assert "OnBuild" not in config(sandbox, tag)


def test_mistakes_are_told_before_anything_is_done(sandbox: Sandbox, context: Path) -> None:
    """All of them, with exit code 125 and the lines."""
    failed = sandbox("build", write(context, "FROM busybox\nRUNN x\nCOPY a\n"))
    assert failed.returncode == 125
    assert "did you mean RUN?" in failed.stderr
    assert "COPY requires at least two arguments" in failed.stderr
    assert "#1" not in failed.stderr


def test_links_lead_nowhere(sandbox: Sandbox, tmp_path: Path, tag: str, context: Path) -> None:
    """Neither those of a context nor those of an image reach files of the host."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    (context / "link").symlink_to(secret)
    assert "is not in the context" in sandbox("build", write(context, "FROM busybox\nCOPY link /x")).stderr
    (context / "link").unlink()
    (context / "file").write_text("copied")
    made = write(context, f"FROM busybox\nRUN ln -s {tmp_path} /out\nCOPY file /out/secret")
    assert sandbox("build", "-t", tag, made).returncode == 0
    assert secret.read_text() == "of the host"


def test_a_killed_build(sandbox: Sandbox, context: Path) -> None:
    """What it leaves running goes with the next build; what was finished is in the cache."""
    place = write(context, "FROM busybox\nRUN echo done > /a\nRUN echo running; sleep 300")
    process = sandbox.start("build", place)
    assert process.stderr is not None
    for line in process.stderr:
        if b" running" in line and b"RUN" not in line:
            break
    process.kill()
    process.communicate()
    again = write(context, "FROM busybox\nRUN echo done > /a\nRUN true")
    assert sandbox("build", again).stderr.count("CACHED") == 1
    deadline = time.monotonic() + 10
    while "sleep 300" in sandbox("ps", "-a", "--no-trunc").stdout:
        assert time.monotonic() < deadline


def test_a_copy_is_root_s_and_a_stage_s_files_keep_their_owners(sandbox: Sandbox, tag: str, context: Path) -> None:
    """As docker has it."""
    (context / "f").write_text("")
    text = "FROM busybox\nCOPY f /f\nRUN chown 5:6 /f && cp -p /f /g\nFROM busybox\nCOPY --from=0 /f /g /\nCOPY f /h"
    assert sandbox("build", "-t", tag, write(context, text)).returncode == 0
    assert show(sandbox, tag, "stat -c %u:%g /f /g /h") == "5:6\n5:6\n0:0\n"


def test_links_see_nothing_of_the_image(sandbox: Sandbox, tag: str, context: Path) -> None:
    """`--link` does not follow the image's links, keeps to numbers, and makes the folders above anew."""
    (context / "f").write_text("linked")
    place = write(context, "FROM busybox\nRUN mkdir /real && ln -s real /way\nCOPY --link --chown=1:2 f /way/\n")
    assert sandbox("build", "-q", "-t", tag, place).returncode == 0
    assert show(sandbox, tag, "ls /real; stat -c '%F %u:%g' /way/f") == "regular file 1:2\n"
    refused = sandbox("build", write(context, "FROM busybox\nCOPY --link --chown=root f /"))
    assert "numbers alone" in refused.stderr


def test_the_same_sources_make_the_same_image(sandbox: Sandbox, context: Path, tmp_path: Path) -> None:
    """With SOURCE_DATE_EPOCH, from another folder, without the cache."""
    (context / "f").write_text("x")
    first = sandbox(
        "build", "-q", "--no-cache", write(context, "FROM scratch\nCOPY <<F /f\nx\nF\n"), SOURCE_DATE_EPOCH="1"
    )
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", context, other], check=True)
    assert sandbox("build", "-q", "--no-cache", str(other), SOURCE_DATE_EPOCH="1").stdout == first.stdout


def test_checks(sandbox: Sandbox, context: Path) -> None:
    """`--check` shows what BuildKit's checks find and builds nothing; a build says that there is something."""
    place = write(context, "FROM busybox\nCMD true")
    found = sandbox("build", "--check", place)
    assert "[JSONArgsRecommended]" in found.stdout
    assert found.stdout.endswith("1 warning\n")
    assert (found.returncode, found.stderr) == (1, "")
    assert "the checks found 1 warning" in sandbox("build", place).stderr
    (context / "Dockerfile").write_text("# check=error=true\nFROM busybox\nCMD true")
    assert sandbox("build", "--check", place).returncode == 1
    assert sandbox("build", place).returncode == 125
    assert sandbox("build", "--call=check", place).returncode == 1
    assert "there are build and check" in sandbox("build", "--call=outline", place).stderr
    clean = sandbox("build", "--check", "-", stdin="FROM busybox")
    assert (clean.returncode, clean.stdout) == (0, "no mistakes\n")


def archive(compression: str, **files: bytes) -> bytes:
    """A tar of files, with a link to the first."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as made:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(f"d/{name}")
            member.size, member.uid, member.gid, member.mode = len(content), 5, 6, 0o640
            made.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("d/hard")
        link.type, link.linkname = tarfile.LNKTYPE, f"d/{next(iter(files))}"
        made.addfile(link)
    return stream.getvalue()


def test_archives_are_unpacked_by_add(sandbox: Sandbox, tag: str, context: Path) -> None:
    """Whatever their compression and name, with owners and hard links; COPY copies them, as ADD does other files."""
    for compression in ("gz", "bz2", "xz", ""):
        (context / f"{compression or 'plain'}.bin").write_bytes(archive(compression, a=b"content"))
    (context / "text.gz").write_bytes(gzip.compress(b"no archive"))
    text = "FROM busybox\nADD *.bin text.gz /all/\n"
    text += "ADD --chown=7:8 plain.bin /owned/\n"
    text += "ADD --unpack=false plain.bin /kept\nCOPY gz.bin /"
    made = sandbox("build", "-t", tag, write(context, text))
    assert made.returncode == 0, made.stderr
    script = "cd /all; ls; cat d/hard; stat -c '%u:%g %a %h' d/a /owned/d/a; stat -c %F /kept /gz.bin"
    assert show(sandbox, tag, script).splitlines() == [
        *("d", "text.gz", "content5:6 640 2", "7:8 640 2", "regular file", "regular file"),
    ]


def test_hostile_archives(sandbox: Sandbox, context: Path) -> None:
    """A name that leads out ends the build."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        made.addfile(tarfile.TarInfo("../../out"), io.BytesIO())
    (context / "evil.tar").write_bytes(stream.getvalue())
    failed = sandbox("build", write(context, "FROM busybox\nADD evil.tar /x/y/"))
    assert failed.returncode == 125
    assert "leads out of the layer" in failed.stderr


def test_a_terminated_build_leaves_nothing(sandbox: Sandbox, context: Path) -> None:
    """Its container goes with it."""
    process = sandbox.start("build", write(context, "FROM busybox\nRUN echo begun; sleep 301"))
    assert process.stderr is not None
    for line in process.stderr:
        if b" begun" in line and b"RUN" not in line:
            break
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + 15
    assert "sleep 301" not in sandbox("ps", "-a", "--no-trunc").stdout


def test_builds_can_be_forgotten(hako_home: Path, engine_home: Path, repository: Path, context: Path) -> None:
    """`builder prune` lets layers go that no image has; the next build does all anew."""
    copy_busybox(engine_home, hako_home)
    own = Sandbox(hako_home, repository)
    place = write(context, "FROM busybox\nRUN --network=none --mount=type=cache,target=/c echo x > /c/x")
    own("rmi", own("build", "-q", place).stdout.strip())
    assert own("build", place).stderr.count("CACHED") == 1
    assert own("builder", "prune", "-a").stdout.startswith("Forgot 1 steps")
    assert not (hako_home / "caches").exists()
    assert own("build", place).stderr.count("CACHED") == 0


def test_folders_without_end(sandbox: Sandbox, context: Path) -> None:
    """A context that is nested too deeply is an error, and no trace of Python's."""
    deep = context / "deep"
    deep.joinpath(*["d"] * 300).mkdir(parents=True)
    failed = sandbox("build", write(context, "FROM busybox\nCOPY deep /deep"))
    assert "nested more than" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_what_cannot_be_run(sandbox: Sandbox, context: Path) -> None:
    """A command that is not there is the build's failure, with docker's exit code of it."""
    failed = sandbox("build", write(context, 'FROM busybox\nRUN ["nonsense"]'))
    assert (failed.returncode, "nonsense" in failed.stderr.splitlines()[-1]) == (1, True)


def test_platforms(sandbox: Sandbox, context: Path) -> None:
    """An image of another platform than FROM asks for is refused; the platforms are arguments."""
    (context / "Dockerfile").write_text("FROM --platform=linux/s390x busybox")
    assert "not for linux/s390x" in sandbox("build", str(context)).stderr
    shown = sandbox("build", "--check", str(context))
    assert "InvalidBaseImagePlatform" in shown.stdout
    text = "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETOS TARGETPLATFORM\nRUN echo for $TARGETPLATFORM"
    assert " for linux/" in sandbox("build", "--no-cache", write(context, text)).stderr


def test_settings_for_later_do_not_concern_the_build(sandbox: Sandbox, tag: str, context: Path) -> None:
    """Volumes of the image are plain folders in its build, health is not probed, an entry point is not used."""
    text = 'FROM busybox\nENTRYPOINT ["false"]\nVOLUME /v\nHEALTHCHECK --interval=1s CMD touch /probed\n'
    text += "RUN mkdir /v && echo kept > /v/file; sleep 1.2; ls / | grep probed || true"
    assert sandbox("build", "-t", tag, write(context, text)).returncode == 0
    assert sandbox("run", "--rm", "--entrypoint", "cat", tag, "/v/file").stdout == "kept\n"
    assert sandbox("run", "--rm", "--entrypoint", "ls", tag, "/probed").returncode != 0


def test_mounts_stay_inside(sandbox: Sandbox, tmp_path: Path, context: Path) -> None:
    """Sources that are links, cache names with dots, targets that become links: none reaches the host."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("of the host")
    (context / "link").symlink_to(canary)
    link = "FROM busybox\nRUN --mount=type=bind,source=link,target=/m cat /m/file"
    assert "is not in the context" in sandbox("build", write(context, link)).stderr
    name = "../" * 8 + str(canary)
    cache = f"FROM busybox\nRUN --mount=type=cache,id={name},target=/c touch /c/made; rm -rf /c/*"
    assert sandbox("build", write(context, cache)).returncode == 0
    stage = f"FROM busybox AS a\nRUN ln -s {canary} /out\n"
    stage += "FROM busybox\nRUN --mount=from=a,source=/out,target=/m ls /m"
    assert sandbox("build", write(context, stage)).returncode != 0
    swap = f"FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/c mv /a/b /a/d 2>/dev/null; ln -s {canary} /a/x; true"
    assert sandbox("build", write(context, swap)).returncode == 0
    assert [path.name for path in canary.iterdir()] == ["file"]


def test_output(sandbox: Sandbox, tmp_path: Path, context: Path) -> None:
    """Files go to a folder, beside others, or into an archive; no image is made."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("stays")
    text = "FROM busybox AS made\nRUN mkdir /d && echo x > /d/f && ln -s f /d/l && chown 5:6 /d/f\n"
    place = write(context, text + "FROM scratch\nCOPY --from=made /d /\n")
    for _ in range(2):
        assert sandbox("build", "-o", str(out), place).returncode == 0
    assert sorted(path.name for path in out.iterdir()) == ["f", "l", "mine"]
    assert ((out / "f").read_text(), (out / "f").stat().st_uid, (out / "l").readlink().name) == (
        "x\n",
        os.geteuid(),
        "f",
    )
    with tarfile.open(fileobj=io.BytesIO(sandbox.printed("build", "-q", "-o", "-", place))) as made:
        assert {(one.name, one.uid) for one in made} == {("f", 5), ("l", 0)}
    assert "not understood" in sandbox("build", "-o", "type=flat", place).stderr


def test_what_is_likely_a_mistake_is_said(sandbox: Sandbox, context: Path) -> None:
    """Build arguments that nothing takes, sources that a stage does not have, letters that begin an id by chance."""
    place = write(context, "FROM busybox\nARG VERSION")
    assert "build arguments VERSOIN" in sandbox("build", "--build-arg", "VERSOIN=1", place).stderr
    missing = write(context, "FROM busybox AS one\nFROM busybox\nCOPY --from=one /x /y")
    assert "source '/x' is not in one" in sandbox("build", missing).stderr
    image = sandbox("images", "-q", "--no-trunc", "busybox").stdout.strip().removeprefix("sha256:")
    assert "no image" in sandbox("build", "-", stdin=f"FROM busybox\nCOPY --from={image[:3]} /bin /b").stderr
    assert sandbox("build", "-", stdin=f"FROM {image}\n").returncode == 0
    assert "Dockerfile:1:1: error" in sandbox("build", write(context, "ARG X=${Y\nFROM busybox$X")).stderr


def test_urls_are_for_add(sandbox: Sandbox, context: Path) -> None:
    """COPY takes none, a checksum needs one, and a server that is not there is said."""
    for line, message in (
        ("COPY http://127.0.0.1:1/x /", "COPY takes no URL"),
        ("ADD --checksum=sha256:0 Dockerfile /", "--checksum is for one URL"),
        ("ADD http://127.0.0.1:1/x /", "cannot fetch http://127.0.0.1:1/x"),
    ):
        assert message in sandbox("build", write(context, f"FROM busybox\n{line}")).stderr
