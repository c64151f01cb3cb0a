"""`ci-run local` on files of drone and Woodpecker, on the real engine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

DRONE = """
kind: pipeline
type: docker
name: default
environment: {GREETING: hello}
services:
- name: Web Server
  image: busybox
  commands: [mkdir /www, echo ready > /www/index.html, httpd -f -p 8080 -h /www]
steps:
- name: Build & test
  image: busybox
  commands:
  - echo ${GREETING} $GREETING $${GREETING} ${DRONE_BUILD_EVENT^^} in $PWD
  - 'echo "message: ${DRONE_COMMIT_MESSAGE}"'
  - until wget -qO- http://web-server:8080/; do sleep 0.1; done
  volumes: [{name: shared, path: /shared}]
- name: background
  image: busybox
  detach: true
  commands: [sleep 1000]
- name: plugin
  image: busybox
  entrypoint: [/bin/sh, -c, 'echo $PLUGIN_TAGS $PLUGIN_LABELS']
  settings: {tags: [1.10, latest], labels: {a: [1, x]}}
- name: after
  image: busybox
  commands: [echo never]
  when: {event: promote}
volumes: [{name: shared, temp: {}}]
---
kind: signature
hmac: abc
"""

WOODPECKER = """
when: {event: [push, manual]}
variables:
  - &first [echo first]
matrix:
  VERSION: [1.10, 2.0]
steps:
  build:
    image: busybox
    commands:
      - <<: *first
      - echo ${VERSION} $CI_SYSTEM_NAME $CI_WORKFLOW_NAME
      - exit ${CODE:-78}
  rest:
    image: busybox
    commands: [echo never]
"""


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run(ci_run: Run, project: Path, name: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run a file of this name in a repository with a hostile message."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(project)]
    (project / name).write_text(text)
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", 'it is $(echo "bad") `x`'], check=True)
    return ci_run()


def test_a_file_of_drone(ci_run: Run, project: Path) -> None:
    """Substitution, a service's name, a detached step, settings, events; what a stranger wrote is no command."""
    done = run(ci_run, project, ".drone.yml", DRONE)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition(" | ")[2] for line in done.stdout.splitlines()]
    assert "hello hello PUSH in /drone/src" in lines
    assert 'message: it is $(echo "bad") `x`' in lines
    assert "ready" in lines
    assert '1.10,latest {"a":[1,"x"]}' in lines
    assert "never" not in lines


def test_the_project_is_not_cloned(ci_run: Run, project: Path) -> None:
    """With `clone: disable` the workspace is empty; a failure is told in drone's variables."""
    done = run(
        ci_run,
        project,
        ".drone.yml",
        """
kind: pipeline
clone: {disable: true}
steps:
- {name: look, image: busybox, commands: ['echo "<$(ls -A)>"; exit 3']}
- name: tell
  image: busybox
  commands: [echo $DRONE_STAGE_STATUS $DRONE_FAILED_STEPS $DRONE_BUILD_STATUS]
  when: {status: [failure]}
""",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "look | <>\n" in done.stdout
    assert "tell | failure look failure\n" in done.stdout


def test_a_file_of_woodpecker(ci_run: Run, project: Path) -> None:
    """A matrix, spliced lists, substitution with a default, and the exit code that ends a stage early."""
    done = run(ci_run, project, ".woodpecker.yml", WOODPECKER)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition(" | ")[2] for line in done.stdout.splitlines()]
    assert lines.count("first") == 2
    assert {"1.10 woodpecker woodpecker", "2.0 woodpecker woodpecker"} <= set(lines)
    assert "never" not in lines
    assert "undefined-variable" not in done.stderr


def test_a_service_of_woodpecker_that_is_never_ready(ci_run: Run, project: Path) -> None:
    """Woodpecker waits for no port: what its service does, changes nothing; steps reach the host by `host-gateway`."""
    text = """
services: {broken: {image: busybox, commands: [exit 4], ports: [1234]}}
steps:
  one:
    image: busybox
    commands: [grep host.docker.internal /etc/hosts]
    extra_hosts: ["host.docker.internal:host-gateway"]
"""
    done = run(ci_run, project, ".woodpecker.yml", text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "host-gateway" not in done.stdout.partition("one | ")[2].partition("\n")[2]


def test_a_pipeline_that_tells_of_others(ci_run: Run, project: Path) -> None:
    """In drone a last pipeline sees by the build's variables that one before it has failed."""
    text = """
kind: pipeline
name: build
steps: [{name: fail, image: busybox, commands: [exit 1]}]
---
kind: pipeline
name: notify
depends_on: [build]
trigger: {status: [success, failure]}
steps:
- {name: tell, image: busybox, commands: [echo $DRONE_BUILD_STATUS $DRONE_FAILED_STAGES $DRONE_STAGE_STATUS]}
"""
    done = run(ci_run, project, ".drone.yml", text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "| failure build success\n" in done.stdout
