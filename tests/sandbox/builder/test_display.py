"""Progress as lines and as JSON, from many threads, and what `--progress` chooses."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.display_json import JsonDisplay
from sandbox.builder.display_plain import PlainDisplay
from sandbox.builder.progress import Progress
from sandbox.kernel.pty import set_size
from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.command import Sandbox


def test_plain_lines() -> None:
    """BuildKit's form; output is cut into lines and passed on byte for byte."""
    written: list[bytes] = []
    with Progress(PlainDisplay(written.append)) as progress:
        step = progress.begin("[1/2] RUN \x1b[31m")
        step.output(b"a\xffb\r\nc")
        step.output(b"d")
        step.note_once("x\ty")
        step.note_once("x\ty")
        step.done()
        progress.begin("two").cached()
        progress.begin("three").failed("why\nso")
        progress.begin("four").cancelled()
    lines = b"".join(written).split(b"\n")
    assert lines[0] == rb"#1 [1/2] RUN \x1b[31m"
    assert (lines[1][-3:], lines[2], lines[3][-2:]) == (b"a\xffb", rb"#1 x\ty", b"cd")
    assert lines[4].startswith(b"#1 DONE 0.")
    assert lines[6:] == [
        *(b"#2 two", b"#2 CACHED", b""),
        *(b"#3 three", rb"#3 ERROR: why\nso", b""),
        *(b"#4 four", b"#4 CANCELED", b"", b""),
    ]


def test_json_documents() -> None:
    """A line for each thing that happens, as BuildKit's SolveStatus."""
    written: list[bytes] = []
    with Progress(JsonDisplay(written.append, lambda: "NOW")) as progress:
        step = progress.begin("one")
        step.output(b"\xff\n")
        step.note("remark")
        step.done()
        progress.begin("two").cached()
        progress.begin("three").failed("why")
    found = [json.loads(line) for line in written]
    assert [next(iter(one)) for one in found] == ["vertexes", "logs", "warnings", *["vertexes"] * 5]
    first, log, end = found[0]["vertexes"][0], found[1]["logs"][0], found[3]["vertexes"][0]
    assert first == {"digest": first["digest"], "name": "one", "started": "NOW"}
    assert log == {
        "vertex": first["digest"],
        "stream": 1,
        "data": base64.b64encode(b"\xff\n").decode(),
        "timestamp": "NOW",
    }
    assert end == first | {"completed": "NOW"}
    assert found[5]["vertexes"][0]["cached"]
    assert found[7]["vertexes"][0]["error"] == "why"


def test_steps_of_many_threads_do_not_mix() -> None:
    """Each line is whole, whoever prints at the same time."""
    written: list[bytes] = []
    with Progress(PlainDisplay(written.append)) as progress:

        def work() -> None:
            step = progress.begin("step")
            for number in range(200):
                step.output(f"{step.number} {number}\n".encode())
            step.done()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [line.split() for line in b"".join(written).splitlines() if line.count(b" ") == 3]
    for number in range(1, 9):
        mine = [line for line in lines if line[0] == b"#%d" % number]
        assert [line[2:] for line in mine] == [[b"%d" % number, b"%d" % one] for one in range(200)]


@pytest.mark.parametrize(
    ("words", "environment", "sign", "absent"),
    [
        ((), {"TERM": "xterm"}, b"\x1b[34m => [1/2] FROM", b"#1 "),
        ((), {"TERM": "xterm", "NO_COLOR": "1"}, b"[+] Building", b"\x1b[34m"),
        ((), {"TERM": "dumb"}, b"#1 [1/2] FROM", b"\x1b"),
        (("--progress=rawjson",), {"TERM": "xterm"}, b'{"vertexes":[{', b"\x1b"),
        ((), {"TERM": "xterm", "BUILDKIT_PROGRESS": "plain"}, b"#1 [1/2] FROM", b"\x1b"),
    ],
)
def test_forms(
    sandbox: Sandbox, tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], sign: bytes, absent: bytes
) -> None:
    """On a terminal there is a tree, in colours unless nobody wants them; a terminal that cannot has lines,
    and so has one where the environment says so.
    """
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN echo {tmp_path}")
    master, slave = pty.openpty()
    set_size(master, 24, 80)
    with subprocess.Popen(
        [*COMMAND, "build", *words, str(tmp_path)], env=sandbox.environment | environment, stdin=slave, stderr=slave
    ) as process:
        os.close(slave)
        screen = b""
        while piece := _read(master):
            screen += piece
    os.close(master)
    assert process.returncode == 0
    assert sign in screen
    assert absent not in screen


def test_a_tree_needs_a_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """Said before anything is done."""
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    assert "needs a terminal" in sandbox("build", "--progress=tty", str(tmp_path)).stderr
    assert "is none of" in sandbox("build", "--progress=x", str(tmp_path)).stderr


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except OSError:  # a terminal whose other end is closed
        return b""
