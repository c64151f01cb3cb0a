"""RUN with ssh agents, caches that begin with files, secrets, and rights of the host."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.builder.agent import forwarded, key_agent
from sandbox.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.slow  # in sum: each builds a few images


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """An empty context."""
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def build(sandbox: Sandbox, context: Path, text: str, *words: str, **environment: str) -> list[str]:
    """Build without the cache; what the RUNs have printed."""
    (context / "Dockerfile").write_text(text)
    made = sandbox("build", "--no-cache", *words, str(context), **environment)
    assert made.returncode == 0, made.stderr
    return [match[1] for line in made.stderr.splitlines() if (match := re.fullmatch(r"#\d+ \d+\.\d{3} (.*)", line))]


def refused(sandbox: Sandbox, context: Path, text: str, *words: str) -> str:
    """The line that a build ends with."""
    (context / "Dockerfile").write_text(text)
    made = sandbox("build", "--no-cache", *words, str(context))
    assert made.returncode != 0
    assert "Traceback" not in made.stderr
    return made.stderr.splitlines()[-1]


def make_key(folder: Path, *, passphrase: str = "") -> Path:
    """A key file, and its public half beside it."""
    path = folder / f"key-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", path], check=True)
    return path


def ask(agent: Path | str, kind: int) -> int:
    """The kind of an agent's answer to an empty message of a kind."""
    fd = os.open(Path(agent).parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"/proc/self/fd/{fd}/{Path(agent).name}")
        os.close(fd)
        connection.sendall(bytes([0, 0, 0, 1, kind]))
        answer = connection.recv(1 << 16)
    return answer[4]


def test_an_agent_is_forwarded(tmp_path: Path) -> None:
    """Keys are listed through it; nothing can be added, removed or locked, and no end of it is left."""
    inner, outer, third = (tmp_path / name for name in ("inner", "outer", "third"))
    for folder in (inner, outer, third):
        folder.mkdir()
    with key_agent([str(make_key(tmp_path))], inner) as agent:
        with forwarded(agent, outer, uid=os.geteuid(), gid=os.getegid(), mode=0o600) as path:
            assert ask(path, 11) == 12  # SSH_AGENT_IDENTITIES_ANSWER
            assert [ask(path, kind) for kind in (9, 17, 18, 19, 20, 22, 25, 27)] == [5] * 8
            assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ConnectionRefusedError):
            ask(path, 11)
    with pytest.raises(NotFoundError, match="no ssh agent"), forwarded(agent, outer, uid=0, gid=0, mode=0o600):
        pass
    with pytest.raises(InvalidError, match="cannot use the ssh key"):
        key_agent([str(make_key(tmp_path, passphrase="abcde"))], third).__enter__()  # noqa: S106


def test_ssh(sandbox: Sandbox, context: Path, tmp_path: Path) -> None:
    """`--ssh` shows an agent to the RUN that wants one, by its id, in SSH_AUTH_SOCK."""
    key = make_key(tmp_path)
    run = "RUN --mount=type=ssh,mode=0660,uid=7 test -S $SSH_AUTH_SOCK && stat -c '%n %u %a' $SSH_AUTH_SOCK"
    text = f"FROM busybox\n{run}\nRUN ls /run\nRUN --mount=type=ssh,id=other echo ${{SSH_AUTH_SOCK-none}}\n"
    assert build(sandbox, context, text, "--ssh", f"default={key}") == ["/run/buildkit/ssh_agent.0 7 660", "none"]
    required = "FROM busybox\nRUN --mount=type=ssh,required true"
    assert "--ssh default" in refused(sandbox, context, required)
    assert "names no agent" in refused(sandbox, context, required, "--ssh", "x=")
    assert "no such file" in refused(sandbox, context, required, "--ssh", f"default={tmp_path / 'nothing'}")


def test_files_of_images_and_stages(sandbox: Sandbox, context: Path) -> None:
    """They are seen as they are there, be they of one layer or of several, and stay as they are."""
    stage = (
        "FROM busybox AS s\nRUN mkdir -p /d/one && echo 1 > /d/one/f && chown -R 5:6 /d/one\n"
        "RUN mkdir /d/two && echo 2 > /d/two/f && rm /bin/yes\nFROM busybox\n"
    )
    mounts = "--mount=from=s,source=/d,target=/d --mount=from=s,source=/d/one,target=/one --mount=from=s,target=/all"
    mounts += " --mount=from=s,source=/d/two/f,target=/file --mount=from=s,source=/d/one,target=/rw,rw"
    run = f"RUN {mounts} cat /d/one/f /d/two/f /one/f /file && stat -c %u:%g /one /d/one && ls /all/bin/yes; "
    run += "echo x > /one/f; echo y > /rw/f; rm -r /one/* /all/*; cat /all/d/one/f /rw/f"
    printed = build(sandbox, context, stage + run)
    errors = ("ls: /all/bin/yes: No such", "/bin/sh: can't create /one/f: Read-only", "rm: ")
    assert [line for line in printed if not any(error in line for error in errors)] == [
        *("1", "2", "1", "2", "5:6", "5:6"),
        *("1", "y"),
    ]
    again = run.replace("cat /d", "cat  /d", 1)
    assert build(sandbox, context, stage + again)[:4] == ["1", "2", "1", "2"]


def test_caches_begin_with_files(sandbox: Sandbox, context: Path) -> None:
    """`from=` and `source=` fill a new cache once; with other files it is another one."""
    stage = "FROM busybox AS s\nRUN mkdir -p /d/e && echo {} > /d/e/f && chown -R 5:6 /d/e\nFROM busybox\n"
    mount = f"--mount=type=cache,id={context},target=/c,from=s,source=/d"
    run = f"RUN {mount} stat -c %u:%g /c/e/f; cat /c/e/f; ls /c; touch /c/more"
    assert build(sandbox, context, stage.format(1) + run) == ["5:6", "1", "e"]
    assert build(sandbox, context, stage.format(1) + run) == ["5:6", "1", "e", "more"]
    assert build(sandbox, context, stage.format(2) + run) == ["5:6", "2", "e"]
    assert "one folder" in refused(sandbox, context, stage.format(1) + run.replace("source=/d", "source=/d/e/f"))
    assert "from=STAGE" in refused(sandbox, context, "FROM busybox\n" + run.replace("from=s,", ""))


def test_caches_stay_inside(sandbox: Sandbox, context: Path, tmp_path: Path) -> None:
    """Links in a cache, in an image or in a source lead nowhere on the host, whatever a mount's options say."""
    (tmp_path / "outside").mkdir()
    mount = f"--mount=type=cache,id={context}/../../x,target=/c"
    build(sandbox, context, f"FROM busybox\nRUN {mount} rm -rf /c/*; ln -s {tmp_path}/outside /c/link\n")
    text = f"FROM busybox\nRUN ln -s {tmp_path} /away && ln -s /c/link /d\n"
    text += f"RUN {mount} mkdir -p {tmp_path}/outside; echo x > /c/link/mark; ls /c\n"
    text += f"RUN --mount=type=cache,id={context}2,target=/away/outside echo x > /away/outside/mark2\n"
    assert build(sandbox, context, text) == ["link"]
    assert not any((tmp_path / "outside").iterdir())
    stage = (
        f"FROM busybox AS s\nRUN ln -s {tmp_path}/outside /o && ln -s ../../../../../../etc/passwd /p\nFROM busybox\n"
    )
    assert "not in s" in refused(sandbox, context, f"{stage}RUN --mount=type=cache,target=/c,from=s,source=/o ls /c")
    printed = build(
        sandbox, context, f"{stage}RUN --mount=from=s,source=/p,target=/x cat /x | wc -l; cat /etc/passwd | wc -l"
    )
    assert printed[0] == printed[1]


def test_secrets_are_nowhere(sandbox: Sandbox, hako_home: Path, repository: Path, context: Path) -> None:
    """After a build that used secrets as files and variables no file of the state directory has them."""
    own = type(sandbox)(hako_home, repository)
    assert own("load", stdin=sandbox.printed("save", "busybox")).returncode == 0
    secret = f"secret-{uuid.uuid4().hex}"
    mount = "--mount=type=secret,id=s"
    script = """\
        stat -c "%u:%g %a" /run/secrets/s
        test "$S" = "$(cat /t)" && test "$T" = "$S" && test "$S" = "$(cat /run/secrets/s)" && echo same
    """
    text = f"FROM busybox\nRUN {mount},uid=3,gid=4,mode=0440 {mount},env=S {mount},env=T,target=/t <<E\n{script}\nE\n"
    printed = build(own, context, text, "-t", "x", "--secret", "id=s,env=GIVEN", GIVEN=secret)
    assert printed == ["3:4 440", "same"]
    found = subprocess.run(["grep", "-rl", "--", secret, hako_home], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert own("run", "--rm", "x", "ls", "-d", "/t", "/run/secrets").stdout == ""


def test_rights_of_the_host_are_asked_for(sandbox: Sandbox, context: Path) -> None:
    """What a Dockerfile says alone gives nothing; hosts, limits and shared memory are those of the line."""
    assert "--allow network.host" in refused(sandbox, context, "FROM busybox\nRUN --network=host true")
    assert "--allow security.insecure" in refused(sandbox, context, "FROM busybox\nRUN --security=insecure true")
    assert "CDI device" in refused(sandbox, context, "FROM busybox\nRUN --device=vendor.com/gpu=all true")
    assert "is none of" in refused(sandbox, context, "FROM busybox", "--allow", "everything")
    text = (
        "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status\n"
        "RUN grep CapEff /proc/self/status; ulimit -n; grep here /etc/hosts; df -k /dev/shm | tail -n 1\n"
    )
    words = ["--allow", "security.insecure", "--ulimit", "nofile=77", "--add-host", "here:1.2.3.4", "--shm-size", "3m"]
    insecure, _, ordinary, files, host, memory = build(sandbox, context, text, *words)
    assert int(insecure.split()[1], 16) > int(ordinary.split()[1], 16)
    assert (files, host.split(), memory.split()[1]) == ("77", ["1.2.3.4", "here"], "3072")
    mount = "--mount=from=busybox,source=/etc,target=/m mount -o remount,bind,rw /m; touch /m/x && echo written"
    for number, expected in ((1, ["written"]), (2, [])):  # what all rights can write to is thrown away
        look = f"RUN --mount=from=busybox,source=/etc,target=/m ls /m/x || true {number}\n"
        text = f"FROM busybox\n{f'RUN --security=insecure {mount}' if expected else ''}\n{look}"
        printed = build(sandbox, context, text, "--allow", "security.insecure")
        assert [line for line in printed if "No such file" not in line] == expected
    (context / "Dockerfile").write_text("FROM busybox\nRUN --network=host test -e /proc/net/dev && echo yes\n")
    assert sandbox("build", "--allow", "network.host", str(context)).returncode == 0
