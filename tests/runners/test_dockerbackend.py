"""The back end on a Docker Engine API, with a real dockerd in namespaces of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.dockerd import docker
from bench.harness import Setup
from ci.pipeline.outputs import Reference
from ci.pipeline.spec import Health, StageSpec, StepSpec, VolumeMount
from runners import dockerbackend
from runners.backend import BackendError
from runners.loop import Loop
from runners.runfolder import RunFolder
from runners.schedule import State
from runners.stage import StageInput, StageRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runners.dockerbackend import DockerBackend
    from runners.report import StageResult
    from runners.schedule import StepResult

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a daemon with the image `busybox`."""
    with docker(Setup(directory=tmp_path_factory.mktemp("d"), commands=Path())) as daemon:
        if daemon is None:
            pytest.skip("dockerd is not installed")
        yield f"unix://{daemon.path}"


@pytest.fixture
def backend(url: str, tmp_path: Path) -> Iterator[DockerBackend]:
    """For one run."""
    with dockerbackend.opened(url, tmp_path / "home", (), lambda _: None) as (made, _):
        yield made
        assert not made.client.containers.list(all=True)
        assert not made.client.networks.list(filters={"label": "hako.run"})


class Told:
    """A reporter and its logs."""

    def __init__(self) -> None:
        self.text: dict[str, bytes] = {}
        self.name = ""

    def stage_started(self, stage: StageSpec) -> None:
        """Nothing."""

    def step_started(self, stage: StageSpec, step: StepSpec) -> Log:
        """A log."""
        del stage
        return Log(self, step.name)

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """Nothing."""

    def notice(self, stage: StageSpec, text: str) -> None:
        """Nothing."""

    def stage_expanded(self, stage: StageSpec, cells: object) -> None:
        """Nothing."""

    def stage_finished(self, result: StageResult) -> None:
        """Nothing."""


class Log:
    """One step's."""

    def __init__(self, told: Told, name: str) -> None:
        self.told, self.name = told, name

    def write(self, data: bytes) -> None:
        """More."""
        self.told.text[self.name] = self.told.text.get(self.name, b"") + data

    def close(self) -> None:
        """No more."""


def run(backend: DockerBackend, tmp_path: Path, stage: StageSpec, *, cancel: str = "") -> tuple[StageResult, Told]:
    """Run a Stage; `cancel` is a text of a step's log at which it is cancelled."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    loop, told = Loop(), Told()
    results: list[StageResult] = []
    given = StageInput(workspace=lambda: workspace, secrets={"s": "hunter22"})
    one = StageRun(stage, given, loop=loop, backend=backend, reporter=told, finished=results.append)
    one.start()
    if cancel:
        loop.run(until=lambda: cancel.encode() in b"".join(told.text.values()))
        one.cancel("cancelled", interrupted=True)
    loop.run(until=lambda: bool(results))
    loop.close()
    return results[0], told


def step(name: str, *commands: str, **more: object) -> StepSpec:
    """Of busybox."""
    return StepSpec(name=name, image="busybox", commands=commands, **more)  # type: ignore[arg-type]


def test_steps_share_files_outputs_and_names(backend: DockerBackend, tmp_path: Path) -> None:
    """Workspace, temporary volume, outputs, secrets (masked), exit codes, a service by its name once it is healthy."""
    health = Health(command=("test", "-e", "/tmp/up"))
    service = step("web server", "touch /tmp/up; while :; do nc -l -p 80 -e echo served; done", healthcheck=health)
    volume = VolumeMount(name="v", target="/v")
    stage = StageSpec(
        name="s",
        number=1,
        volumes=("v",),
        services=(service,),
        steps=(
            step("a", "echo $S > f; echo x > /v/x; echo k=v1 > $CI_OUTPUT; pwd", volumes=(volume,), secrets={"S": "s"}),
            step(
                "b",
                "cat f /v/x; echo $K; nc web-server 80; exit 3",
                depends_on=("a",),
                volumes=(volume,),
                outputs={"K": Reference("a", "k")},
            ),
        ),
    )
    result, told = run(backend, tmp_path, stage)
    assert [one.reason for one in result.steps if one.name != "b"] == ["", ""]
    assert [(one.name, one.exit_code) for one in result.steps if one.name in "ab"] == [("a", 0), ("b", 3)]
    assert result.state is State.FAILED
    assert b"/hako/src\n" in told.text["a"]
    for line in (b"********\n", b"x\n", b"v1\n", b"served\n"):
        assert line in told.text["b"]


def test_a_lot_of_output_arrives_whole(backend: DockerBackend, tmp_path: Path) -> None:
    """To the last byte, from both streams."""
    result, told = run(backend, tmp_path, StageSpec(name="s", number=1, steps=(step("a", "seq 100000; echo e >&2"),)))
    assert result.state is State.PASSED
    assert told.text["a"].endswith(b"99999\n100000\n+ echo e\ne\n") or told.text["a"].endswith(b"100000\ne\n")
    assert told.text["a"].count(b"\n") >= 100001


def test_a_cancelled_step_is_dead_at_once(backend: DockerBackend, tmp_path: Path) -> None:
    """Also one that ignores SIGTERM."""
    stage = StageSpec(name="s", number=1, steps=(step("a", "trap '' TERM; echo begun; sleep 1000"),))
    began = time.monotonic()
    result, _ = run(backend, tmp_path, stage, cancel="begun\n")
    assert result.state is State.CANCELLED
    assert time.monotonic() - began < 60


def test_missing_images_and_what_it_cannot_do(backend: DockerBackend, tmp_path: Path) -> None:
    """Each is one sentence."""
    assert backend.missing_images(("busybox", "nothing-of-this-name:1")) == ("nothing-of-this-name:1",)
    with pytest.raises(BackendError):
        backend.fetch_image("localhost:1/nothing:1")
    result, _ = run(
        backend, tmp_path, StageSpec(name="s", number=1, steps=(StepSpec(name="a", image="nothing-of-this-name"),))
    )
    assert result.steps[0].state is State.ERROR
    assert "no image 'nothing-of-this-name'" in result.steps[0].reason


def test_what_dead_runs_left_is_removed(url: str, backend: DockerBackend, tmp_path: Path) -> None:
    """Containers and networks with the label of a run whose process is gone; never those of a living one."""
    with RunFolder(tmp_path / "other") as folder:
        dead = dockerbackend.DockerBackend(url, tmp_path / "other", folder, logins=(), progress=lambda _: None)
        prepared = dead.prepare(StageSpec(name="s", number=1, steps=()), workspace=tmp_path)
        dead.client.containers.create("busybox", "true", labels={"hako.run": folder.name})
        dead.reclaim()  # its own lives
        assert len(dead.client.containers.list(all=True)) == 1
        backend.reclaim()  # to this one it is a run that is not there
        assert not backend.client.containers.list(all=True)
        prepared.finish()
        dead.close()


def test_no_daemon_is_said(tmp_path: Path) -> None:
    """In one sentence that says what to look at."""
    with pytest.raises(BackendError, match="docker does not answer"):
        dockerbackend.opened("tcp://127.0.0.1:1", tmp_path, (), lambda _: None).__enter__()
