"""Whole files as people write them for drone and Woodpecker: read without an error, and compiled for every event.

The files in `corpus` are ours; each puts together the forms that those systems' documentation shows for one subject.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ci.pipeline
from ci.pipeline.compile import compile_all
from ci.pipeline.diagnostics import Severity, render
from ci.pipeline.event import Event, EventKind

if TYPE_CHECKING:
    from ci.pipeline.spec import StageSpec

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.rglob("*.y*ml"))
NAMES = {"drone": ".drone.yml", "woodpecker": ".woodpecker.yml"}


def stages(name: str, kind: EventKind = EventKind.PUSH, **facts: object) -> tuple[StageSpec, ...]:
    """The Stages of a file for an event."""
    loaded = ci.pipeline.load((CORPUS / name).read_text(), NAMES[name.partition("/")[0]])
    event = Event(
        kind=kind,
        **({"branch": "main", "default_branch": "main", "commit": "0123456789" * 4} | facts),  # type: ignore[arg-type]
    )
    return compile_all(loaded.require(), event)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_mistakes(path: Path) -> None:
    """A file has neither errors nor warnings, and compiles for every event."""
    loaded = ci.pipeline.load(path.read_text(), NAMES[path.parent.name])
    assert [one for one in loaded.diagnostics if one.severity is not Severity.INFO] == [], render(loaded.diagnostics)
    for kind in EventKind:
        stages(f"{path.parent.name}/{path.name}", kind, tag="v1.2.0", deploy_target="production")


def test_documents_that_wait_for_each_other() -> None:
    """A push runs two of three; a tag all of them, the last after the others, with values out of the tag."""
    assert [stage.name for stage in stages("drone/fan-out.yml")] == ["backend", "frontend"]
    released = stages("drone/fan-out.yml", EventKind.TAG, branch="", tag="v1.2.0")
    assert [(stage.name, stage.depends_on) for stage in released] == [
        ("backend", ()),
        ("frontend", ()),
        ("release", ("backend", "frontend")),
    ]
    assert released[2].steps[0].environment["PLUGIN_TAGS"] == "latest,1.2.0,0123456"
    chat = released[0].steps[3]
    assert (chat.depends_on, chat.run_on_success, chat.run_on_failure) == (("vet", "race"), True, True)


def test_services_and_steps_beside_them() -> None:
    """A service has arguments for its image; a detached step and one that may fail are so."""
    (stage,) = stages("drone/services.yml")
    assert stage.workspace == "/go/src/example.org/team/app"
    assert stage.services[1].arguments == ("--port", "6380")
    assert [step.detach for step in stage.steps] == [False, True, False, False]
    (pull,) = stages("drone/services.yml", EventKind.PULL_REQUEST, pull_request=7)
    assert pull.skipped == ("build",)


def test_a_promotion() -> None:
    """It runs where the target fits, and values are made of it."""
    assert stages("drone/promotion.yml") == ()
    promoted = {"deploy_target": "production", "parent": 12, "instance": "ci.example.org"}
    (stage,) = stages("drone/promotion.yml", EventKind.DEPLOYMENT, **promoted)
    (step,) = stage.steps
    assert step.environment["TARGET"] == "production"
    assert step.environment["DRONE_BUILD_PARENT"] == "12"
    assert step.commands[1] == "./deploy.sh PRODUCTION"
    assert stages("drone/promotion.yml", EventKind.DEPLOYMENT, deploy_target="test") == ()


def test_merged_environments() -> None:
    """A merged map gives what the step does not say itself."""
    (stage,) = stages("drone/anchors.yml")
    first, second = stage.steps
    assert "GOARCH" not in first.environment
    assert (second.environment["GOARCH"], second.environment["CGO_ENABLED"]) == ("arm64", "0")
    assert first.commands == second.commands


def test_a_modern_workflow() -> None:
    """Conditions on paths, spliced lists, an optional dependency, settings with lists of maps."""
    (stage,) = stages("woodpecker/modern.yaml", changed_files=("README.md",))
    assert stage.skipped == ("lint",)
    (stage,) = stages("woodpecker/modern.yaml", changed_files=("README.md", "src/a.ts"))
    lint, test, publish, notify = stage.steps
    assert lint.commands == ("corepack enable", "pnpm install --frozen-lockfile", "pnpm lint")
    assert (publish.depends_on, notify.depends_on) == (("lint", "test"), ("publish",))
    assert publish.environment["PLUGIN_LOGINS"] == (
        '[{"registry":"https://registry.example.org","username":"builder"}]'
    )
    assert publish.environment["DRONE_COMMIT"] == "0123456789" * 4
    assert "DRONE_COMMIT" not in test.environment
    (quiet,) = stages("woodpecker/modern.yaml", message="x [quiet]", changed_files=("src/a.ts",))
    assert quiet.skipped == ("notify",)


def test_an_old_workflow() -> None:
    """Groups side by side, a matrix in images and services, secrets with targets, a deployment."""
    first, second, *rest = stages("woodpecker/old.yml")
    assert len(rest) == 2
    assert [step.depends_on for step in first.steps] == [(), (), ("build", "assets")]
    assert (first.steps[0].image, second.matrix["DATABASE"]) == ("golang:1.20", "postgres")
    assert ([len(first.services), len(second.services)]) == [0, 1]
    assert first.steps[2].commands[1] == 'test "${PIPESTATUS:-0}" = 0'
    deployed = stages("woodpecker/old.yml", EventKind.DEPLOYMENT)[2]
    assert deployed.steps[3].secrets == {"PLUGIN_KEY": "ssh_key"}
    assert deployed.steps[3].environment["PLUGIN_HOST"] == "one.example.org,two.example.org"
    assert stages("woodpecker/old.yml", branch="other") == ()


def test_included_cells() -> None:
    """Cells that are listed, with labels of their own; it runs whatever became of the others."""
    first, second = stages("woodpecker/includes.yml")
    assert (first.labels, second.labels) == ({"platform": "linux/amd64"}, {"platform": "linux/arm64"})
    assert (first.run_on_success, first.run_on_failure, first.clone.disable) == (True, True, True)
    assert first.steps[0].entrypoint == ("/bin/sh", "-c", "echo linux/amd64")
    assert first.steps[0].pull == "always"


def test_everything_else_of_drone() -> None:
    """Operators in values and commands, limits, a program with arguments, documents for a server."""
    first, second = stages("drone/everything-else.yml", EventKind.TAG, tag="v1.2.0", repository="team/my-app")
    greet, limits, program, *_ = first.steps
    names = ("VERSION", "SHORT", "NAME", "OWNER", "SIZE", "WHO", "PRICE")
    expected = ["1.2.0", "0123456", "my_app", "TEAM", "6", "nobody", "$5"]
    assert [greet.environment[name] for name in names] == expected
    assert greet.commands[1:] == ('echo "$TOKEN" | wc -c', "echo ${TOKEN} v1.2.0")
    assert (greet.working_dir, greet.user, greet.pull) == ("/drone/src/src", "root", "if-not-exists")
    assert (limits.memory, limits.memory_swap, limits.shm_size) == (1 << 30, 2 << 30, 64 << 20)
    assert (program.entrypoint, program.arguments) == (("/bin/echo",), ("hello", "amd64"))
    assert (first.labels, first.concurrency, first.clone.depth) == ({"disk": "ssd", "platform": "linux/amd64"}, 1, 50)
    assert (second.labels, second.clone.disable) == ({"platform": "linux/arm64/v8"}, True)
    assert (second.run_on_success, second.run_on_failure, second.depends_on) == (True, True, ("amd64",))
    assert [stage.name for stage in stages("drone/everything-else.yml", repository="other/app")] == ["arm64"]


def test_everything_else_of_woodpecker() -> None:
    """Expressions, a workspace of one's own, services of some cells, secrets in a list of settings."""
    cells = stages("woodpecker/everything-else.yaml", repository="team/app")
    assert len(cells) == 4
    assert [len(cell.services) for cell in cells] == [1, 0, 1, 0]
    build, notify, server = cells[0].steps
    assert cells[0].workspace == "/go/src/example.org/team/app"
    assert (build.image, build.working_dir) == ("golang:1.21", "/go/src/example.org/team/app/cmd")
    assert (build.environment["REF"], build.commands[1]) == ("r/heads/main", 'echo "${HOME} App"')
    assert [(mount.host, mount.read_only) for mount in build.volumes] == [("/etc/ssl/certs", True)]
    assert (notify.secrets, notify.secret_names) == ({"PLUGIN_URL": "hook"}, ("hook", "token"))
    assert notify.environment["PLUGIN_TEXT"] == "team/app: success"
    assert (server.user, server.detach, server.entrypoint[0]) == ("1000", True, "/bin/sh")
    assert stages("woodpecker/everything-else.yaml", author="bot") == ()
    assert len(stages("woodpecker/everything-else.yaml", author="bot", message="x [force]")) == 4
