"""Which containers `ps --filter` shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
QUIET = ("--network", "none")


def test_ps_filters(sandbox: Sandbox, name: str) -> None:
    """By name, label, status, exit code, image, age; sizes; the last one."""
    sandbox("run", *QUIET, "--name", name, "--label", "a=1", "busybox", "sh", "-c", "echo hello > /file; exit 3")

    def names(*words: str) -> list[str]:
        return sandbox("ps", "-f", f"name={name}", "--format", "{{.Names}}", *words).stdout.split()

    assert names() == []
    assert names("-a") == names("-f", "exited=3") == names("-f", "status=exited") == [name]
    assert names("-a", "-f", "label=a=1", "-f", "ancestor=busybox") == [name]
    assert names("-f", "exited=0") == names("-a", "-f", "label=a=2") == names("-f", f"since={name}") == []
    assert names("-n", "1000") == [name]
    assert re.match(r"[\d.]+kB \(virtual [\d.]+MB\)\n",
                    sandbox("ps", "-a", "-f", f"name={name}", "--format", "{{.Size}}").stdout)  # fmt: skip
    assert sandbox("ps", "--filter", "colour=red").returncode == 2


def test_ps_filters_as_scripts_have_them(sandbox: Sandbox, name: str) -> None:
    """Names and ids are regular expressions, and a broken one fits nothing; docker's other filters are known."""
    started = sandbox("create", *QUIET, "--name", name, "busybox", "true").stdout.strip()

    def names(*words: str) -> list[str]:
        return sandbox("ps", "-a", "--format", "{{.Names}}", *words).stdout.split()

    for text in (f"name=^{name}$", f"name=^/{name}$", f"name={name}$", f"id={started[:20]}", f"id=^{started[:12]}"):
        assert names("-f", text) == [name], text
    assert names("-f", f"name=^{name[:-1]}$") == names("-f", f"name=({name}") == []
    assert names("-f", f"name={name}", "-f", "is-task=false", "-f", "isolation=default") == [name]
    assert names("-f", f"name={name}", "-f", "is-task=true") == []


def test_ps_filters_of_ports(sandbox: Sandbox, name: str) -> None:
    """A container fits that publishes one of the ports of the host, or exposes one of its own; also in ranges."""
    options = ("-p", "127.0.0.1::80", "--expose", "99/udp")
    assert sandbox("run", "-d", *options, "--name", name, "busybox", "sleep", "1000").returncode == 0
    port = sandbox("port", name, "80").stdout.strip().rpartition(":")[2]

    def fits(*texts: str) -> bool:
        words = (word for text in texts for word in ("-f", text))
        return sandbox("ps", "-f", f"name={name}", "--format", "{{.Names}}", *words).stdout.split() == [name]

    assert fits(f"publish={port}")
    assert fits(f"publish={port}/tcp")
    assert fits("expose=80")
    assert fits("expose=90-99/udp")
    assert fits("publish=1", "expose=80")
    assert not fits("publish=80")
    assert not fits(f"publish={port}/udp")
    assert not fits("expose=99")
    assert sandbox("ps", "-f", "publish=http").returncode == 2


def test_ps_filter_of_ancestors(sandbox: Sandbox, name: str) -> None:
    """Containers of an image, by its name or id, and of what was made from it."""
    sandbox("run", *QUIET, "--name", name, "busybox", "touch", "/file")
    sandbox("commit", name, f"{name}:child")
    sandbox("create", *QUIET, "--name", f"{name}-child", f"{name}:child", "true")
    identifier = sandbox("inspect", "--type", "image", "--format", "{{.Id}}", f"{name}:child").stdout.strip()
    try:
        for text, expected in (
            ("busybox", [f"{name}-child", name]),
            (f"{name}:child", [f"{name}-child"]),
            (identifier, [f"{name}-child"]),
            (identifier.removeprefix("sha256:")[:20], [f"{name}-child"]),
            ("no-such-image", []),
        ):
            found = sandbox("ps", "-a", "-f", f"name={name}", "-f", f"ancestor={text}", "--format", "{{.Names}}")
            assert found.stdout.split() == expected, text
    finally:
        sandbox("rm", f"{name}-child")
        sandbox("rmi", f"{name}:child")
