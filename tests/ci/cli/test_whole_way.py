"""A push with git → webhook → queue → runner → log and state on the pages: every process is a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from tests.ci.cli.serving import ci_run, server
from tests.runners.gitserver import daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIPELINE = """\
steps:
  - name: greet
    image: busybox
    commands:
      - echo "hello from $CI_COMMIT_BRANCH"
      - cat greeting.txt
"""
HOOK = """\
#!/bin/sh
exec {python} -m ci.cli.main push --server {url} --repository {id}:octo/hello --secret-file {secret}
"""
LONG = 120.0  # seconds


@contextmanager
def process(verb: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process of the server beside the web's, until it is told to end."""
    with log.open("wb") as output:
        command = [sys.executable, "-m", "ci.cli.main", verb]
        with subprocess.Popen(command, env=environment, stdout=output, stderr=output) as running:
            try:
                yield
            finally:
                running.send_signal(signal.SIGTERM)
                running.wait(LONG)


def git(folder: Path, *words: str, **environment: str) -> None:
    """Run git in a folder, as somebody."""
    somebody = ["-c", "user.name=Mona", "-c", "user.email=mona@example.org"]
    subprocess.run(
        ["git", *somebody, *words],
        cwd=folder,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        timeout=LONG,
    )


@pytest.mark.slow
@pytest.mark.root
def test_a_push_is_built(tmp_path: Path) -> None:
    """Its state and its log are there for everybody who may see the repository."""
    with server() as running:
        host = {
            "HAKO_HOME": str(running.home),
            "HAKO_SERVER_URL": running.url,
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }
        ci_run(["user", "add", "--admin", "ada"], host, said="correct horse\n")
        ci_run(["login", running.url, "--token-stdin"], host, said=ci_run(["user", "token", "ada"], host).stdout)
        origin = tmp_path / "origin.git"
        origin.mkdir()
        git(origin, "init", "--quiet", "--bare", "-b", "main")
        added = ci_run(["repo", "add", "octo/hello", "--clone-url", f"file://{origin}", "--public"], host, code=1)
        assert "is not the URL of a repository" in added.stderr  # this server has not been told to allow folders
        with daemon(tmp_path) as url:
            ci_run(["repo", "add", "octo/hello", "--clone-url", f"{url}/origin.git", "--public"], host)
            hook = json.loads(ci_run(["repo", "hook", "octo/hello", "--json"], host).stdout)
            secret = tmp_path / "secret"
            secret.write_text(hook["secret"])
            script = origin / "hooks" / "post-receive"
            identifier = hook["url"].rpartition("/")[2]
            script.write_text(HOOK.format(python=sys.executable, url=running.url, id=identifier, secret=secret))
            script.chmod(0o755)
            environment = {**os.environ, **host}
            with (
                process("worker", environment, tmp_path / "worker.log"),
                process("runner", environment, tmp_path / "runner.log"),
            ):
                work = tmp_path / "work"
                work.mkdir()
                git(work, "init", "--quiet", "-b", "main")
                (work / ".ci.yml").write_text(PIPELINE)
                (work / "greeting.txt").write_text("good day\n")
                git(work, "add", ".")
                git(work, "commit", "--quiet", "-m", "Greet")
                # git's own hook: what the server needs is given by its environment.
                git(work, "push", "--quiet", str(origin), "main", PYTHONPATH=os.pathsep.join(sys.path))
                build = finished(host)
        log = urllib3.request("GET", f"{running.url}/octo/hello/1/1/2", timeout=30).data.decode()
    states = {step["name"]: step["state"] for step in build["stages"][0]["steps"]}
    assert (build["state"], states) == ("success", {"clone": "success", "greet": "success"}), build
    assert build["title"] == "Greet"
    assert "hello from main" in log
    assert "good day" in log


def finished(host: dict[str, str]) -> Any:
    """The first build, when it is over."""
    deadline = time.monotonic() + LONG
    while True:
        listed = json.loads(ci_run(["build", "ls", "octo/hello", "--json"], host).stdout)
        if listed and listed[0]["finished"]:
            return json.loads(ci_run(["build", "show", "octo/hello", "1", "--json"], host).stdout)
        assert time.monotonic() < deadline, listed
        time.sleep(0.2)
