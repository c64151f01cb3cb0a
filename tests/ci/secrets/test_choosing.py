"""Which secrets a Stage gets."""

from __future__ import annotations

import dataclasses

import pytest

from ci.pipeline.event import Event, EventKind
from ci.pipeline.spec import StageSpec, StepSpec
from ci.secrets.choosing import Secret, choose

PUSH = Event(branch="main")
TOKEN = Secret(name="token", value="hunter2", repository="a/b")


def stage(*steps: StepSpec, **more: object) -> StageSpec:
    """A Stage of these steps."""
    return StageSpec(name="x", number=1, steps=steps, **more)  # type: ignore[arg-type]


def step(**more: object) -> StepSpec:
    """A step that uses `token`."""
    return StepSpec(**{"name": "s", "image": "alpine", "commands": ("true",), "secrets": {"T": "token"}} | more)  # type: ignore[arg-type]


def test_a_stage_gets_what_its_steps_use() -> None:
    """And nothing else of what the repository sees; a name that is not there is the runner's to complain of."""
    other = dataclasses.replace(TOKEN, name="other")
    assert choose([TOKEN, other], PUSH, stage(step())).values == {"token": "hunter2"}
    assert choose([other], PUSH, stage(step())).values == {}
    assert choose([TOKEN], PUSH, stage(step(secrets={}), image_pull_secrets=("token",))).values == {"token": "hunter2"}


def test_the_nearest_counts() -> None:
    """The repository's before its owner's before the server's, in whatever order they come."""
    owners = dataclasses.replace(TOKEN, repository="", owner="a", value="owner's")
    servers = dataclasses.replace(TOKEN, repository="", value="server's")
    assert choose([servers, TOKEN, owners], PUSH, stage(step())).values == {"token": "hunter2"}
    assert choose([servers, owners], PUSH, stage(step())).values == {"token": "owner's"}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Event(kind=EventKind.PULL_REQUEST, branch="main"), "the event pull_request"),
        (Event(kind=EventKind.PULL_REQUEST, branch="main", fork=True), "pull requests from forks"),
        (Event(branch="feature/x"), "the branch feature/x"),
        (Event(kind=EventKind.TAG, tag="v1"), "what is on no branch"),
    ],
)
def test_limits_of_events_and_branches(event: Event, reason: str) -> None:
    """What a limit refuses is said for each step that wanted it."""
    limited = dataclasses.replace(TOKEN, branches=("main", "release/*"))
    chosen = choose([limited], event, stage(step(), step(name="t"), image_pull_secrets=("token",)))
    assert chosen.values == {}
    assert chosen.refusals == tuple((name, f"the secret 'token' is not for {reason}") for name in ("s", "t"))


def test_a_fork_gets_none_whatever_the_limits_say() -> None:
    """Even one that is for pull requests."""
    everywhere = dataclasses.replace(TOKEN, events=frozenset(EventKind))
    inside = Event(kind=EventKind.PULL_REQUEST, branch="main")
    assert choose([everywhere], inside, stage(step())).values == {"token": "hunter2"}
    assert choose([everywhere], dataclasses.replace(inside, fork=True), stage(step())).values == {}


@pytest.mark.parametrize(
    ("use", "given"),
    [
        ({"image": "plugins/slack"}, True),
        ({"image": "docker.io/plugins/slack:1"}, True),
        ({"image": "plugins/slack@sha256:" + "0" * 64}, True),
        ({"image": "evil.example/plugins/slack"}, False),
        ({"image": "plugins/slack-evil"}, False),
        ({"image": "plugins/slack", "commands": ("env",)}, False),
        ({"image": "plugins/slack", "entrypoint": ("/bin/sh",)}, False),
        ({"image": "plugins/slack", "arguments": ("env",)}, False),
        ({"image": "plugins/slack", "environment": {"LD_PRELOAD": "./x.so"}}, False),
        ({"image": "plugins/slack", "environment": {"PLUGIN_ROOM": "x"}}, True),
    ],
)
def test_a_secret_for_images_is_for_plugins(use: dict[str, object], given: bool) -> None:
    """Not where the pipeline says what the image does, nor for one whose name only looks like it."""
    limited = dataclasses.replace(TOKEN, images=("plugins/slack",))
    chosen = choose([limited], PUSH, stage(step(**{"commands": ()} | use)))
    assert bool(chosen.values) == given
    assert bool(chosen.refusals) != given


def test_a_version_may_be_wanted() -> None:
    """Then another is refused."""
    limited = dataclasses.replace(TOKEN, images=("localhost:5000/slack:1",))
    for image, given in (("localhost:5000/slack:1", True), ("localhost:5000/slack:2", False), ("slack:1", False)):
        assert bool(choose([limited], PUSH, stage(step(commands=(), image=image))).values) == given


def test_what_one_step_must_not_have_no_step_gets() -> None:
    """They share a workspace."""
    limited = dataclasses.replace(TOKEN, images=("plugins/slack",))
    plugin, thief = step(commands=(), image="plugins/slack"), step(name="thief")
    assert choose([limited], PUSH, stage(plugin)).values == {"token": "hunter2"}
    chosen = choose([limited], PUSH, stage(plugin, thief))
    assert chosen.values == {}
    assert [name for name, _ in chosen.refusals] == ["thief"]
