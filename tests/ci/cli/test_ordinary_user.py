"""`ci-run local` as somebody who is not root."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from sandbox.network import uplink
from tests.sandbox.kernel.children import account_with_ranges, account_without_ranges
from tests.sandbox.network.isolation import MISSING
from tests.sandbox.runtime.person import Person, person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.kernel.children import Account

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "nft is there"),
    pytest.mark.skipif(not uplink.find(), reason="slirp4netns is not installed, or /dev/net/tun not usable"),
]

_PIPELINE = """\
services:
  - name: web
    image: busybox
    commands:
      - echo "ready $WHICH" > /tmp/index.html
      - httpd -f -p 8080 -h /tmp
    ports: [8080]
steps:
  - name: ask
    image: busybox
    commands:
      - wget -qO- http://web:8080/
matrix:
  WHICH: [one, two]
"""
_PROGRAM = """\
import os, subprocess, sys
os.chdir(sys.argv[1])
git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example"]
for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
    subprocess.run([*git, *words], check=True)
sys.argv[1:] = ["local"]
from ci.cli.main import main
sys.exit(main())
"""


@pytest.fixture(params=[account_with_ranges, account_without_ranges], ids=["range", "single"])
def somebody(request: pytest.FixtureRequest) -> Iterator[Person]:
    """An ordinary user."""
    with person(request.param()) as found:
        yield found


def test_services_of_two_stages_at_the_same_port(somebody: Person) -> None:
    """Each stage meets its own, in a network of its own."""
    project = somebody.home / "project"
    project.mkdir()
    (project / ".ci.yml").write_text(_PIPELINE)
    for path in (project, project / ".ci.yml"):
        os.chown(path, somebody.account.uid, somebody.account.gid)
    done = somebody.run("-c", _PROGRAM, str(project))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "default[one]/ask | ready one" in done.stdout
    assert "default[two]/ask | ready two" in done.stdout
    assert "one by one" not in done.stderr


@pytest.mark.root
def test_a_service_where_there_is_no_way_out(somebody: Person) -> None:
    """The stages share the host's network, one after the other, and services are waited for there."""
    project = somebody.home / "project"
    project.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (project / ".ci.yml").write_text(_PIPELINE.replace("8080", str(port)))
    for path in (project, project / ".ci.yml"):
        os.chown(path, somebody.account.uid, somebody.account.gid)
    done = somebody._replace(tun="600").run("-c", _PROGRAM, str(project))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "default[one]/ask | ready one" in done.stdout
    assert "default[two]/ask | ready two" in done.stdout
    assert "one by one" in done.stderr


@pytest.mark.parametrize("account", [account_with_ranges, account_without_ranges], ids=["range", "single"])
def test_steps_that_are_not_run_again(account: Callable[[], Account]) -> None:
    """What they changed comes back in the ids of the container; the results can be removed."""
    pipeline = """
image: busybox
steps:
  - name: make
    commands: [echo content > made, chmod 640 made, rm given]
  - name: look
    commands: ['test "$(stat -c "%u %a" made)" = "0 640"', test ! -e given]
"""
    with person(account()) as somebody:
        project = somebody.home / "project"
        project.mkdir()
        (project / "given").write_text("given by hand\n")
        (project / ".ci.yml").write_text(pipeline)
        for path in (project, *project.iterdir()):
            os.chown(path, somebody.account.uid, somebody.account.gid)
        assert somebody.sandbox("bootstrap", "busybox").returncode == 0
        for again in (False, True):
            done = somebody.run("-m", "ci.cli.main", "local", "--incremental", str(project / ".ci.yml"))
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.count("= cached: ") == (2 if again else 0)
        done = somebody.run("-m", "ci.cli.main", "cache", "prune", "--older-than", "1ms")
        assert done.stdout.startswith("removed 2 caches, ")
