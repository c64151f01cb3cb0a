"""Stages on the real engine: what steps see, and that nothing stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ci.pipeline.spec import Device, StageSpec, StepSpec, Tmpfs, VolumeMount
from runners import runfolder
from runners.backend import BackendError, HostMount
from runners.engine import RUN_LABEL, EngineBackend
from runners.loop import Loop
from runners.runfolder import RunFolder
from runners.schedule import State
from runners.stage import StageInput, StageRun
from sandbox.image.sources import Sources
from sandbox.runtime.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runners.report import StageResult

pytestmark = pytest.mark.root


def step(name: str, *commands: str, **fields: Any) -> StepSpec:
    """A step in busybox."""
    return StepSpec(name=name, image="busybox", commands=commands, **fields)


def stage(*steps: StepSpec, **fields: Any) -> StageSpec:
    """A Stage of these steps."""
    named: dict[str, Any] = {"name": "test", "number": 1, "steps": steps}
    return StageSpec(**(named | fields))


@pytest.fixture
def engine_backend(engine_home: Path) -> Iterator[EngineBackend]:
    """The back end, in a run of its own; afterwards no container and no network of the run is left."""
    engine = Engine(engine_home)
    with RunFolder(engine_home) as folder:
        backend = EngineBackend(engine, folder, sources=Sources)
        yield backend
        assert [config.name for config, _ in engine.containers(all=True) if label(config) == folder.name] == []
        assert [one.name for one in engine.networks.list() if one.labels.get(RUN_LABEL) == folder.name] == []
    engine.close()


def label(config: Any) -> str:
    """The run that a container belongs to."""
    return str(config.spec.labels.get(RUN_LABEL, ""))


@pytest.fixture
def play(
    engine_backend: EngineBackend, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., tuple[StageResult, dict[str, str]]]]:
    """Runs a Stage; gives its result and what each step printed."""
    loop = Loop()
    recorder_type: Any = type(request.getfixturevalue("reporter"))

    def play(it: StageSpec, **given: Any) -> tuple[StageResult, dict[str, str]]:
        workspace = tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        recorder = recorder_type(loop)
        done: list[StageResult] = []
        run = StageRun(
            it,
            StageInput(**({"workspace": lambda: workspace} | given)),
            loop=loop,
            backend=engine_backend,
            reporter=recorder,
            finished=done.append,
        )
        run.start()
        loop.run(lambda: bool(done))
        return done[0], {name: data.decode() for name, data in recorder.output.items()}

    yield play
    loop.close()


def test_commands_run_in_the_workspace(play: Any, tmp_path: Path) -> None:
    """Each command is echoed and run; both streams come in their order; files written are there for the next step."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/in").write_text("from the host\n")
    it = stage(
        step("a", "pwd; cat in", "echo error >&2; echo out", "echo made > out; id -u"),
        step("b", "cat out; ls -l out | cut -c1-10", depends_on=("a",)),
    )
    result, output = play(it)
    assert result.state is State.PASSED
    assert output["a"] == (
        "+ pwd; cat in\n/hako/src\nfrom the host\n+ echo error >&2; echo out\nerror\nout\n+ echo made > out; id -u\n0\n"
    )
    assert output["b"].endswith("made\n-rw-r--r--\n")
    assert (tmp_path / "workspace/out").stat().st_uid == 0


def test_a_command_that_reads_input_does_not_eat_the_script(play: Any) -> None:
    """Standard input is empty; the commands after `cat` run."""
    result, output = play(stage(step("a", "cat", "echo after")))
    assert result.state is State.PASSED
    assert output["a"].endswith("after\n")


def test_a_failing_command_ends_the_step(play: Any) -> None:
    """With its exit code; the commands after it do not run."""
    result, output = play(stage(step("a", "sh -c 'exit 7'", "echo not reached")))
    assert (result.state, result.steps[0].exit_code) == (State.FAILED, 7)
    assert "not reached" not in output["a"].replace("+ echo not reached", "")


def test_environment_reaches_the_step(play: Any) -> None:
    """Values of any kind, and a secret, which is masked in what it prints."""
    it = stage(step("a", 'echo "$A" "$TOKEN"; echo $B', environment={"A": "x y'\"$", "B": "1"}, secrets={"TOKEN": "t"}))
    _, output = play(it, secrets={"t": "hunter22"}, environment={"B": "2"})
    assert output["a"].endswith("x y'\"$ ********\n2\n")


def test_services_are_found_by_name_and_waited_for(play: Any) -> None:
    """A step reaches a service by its name as soon as it starts, although the service came up slowly."""
    service = step("web", "sleep 0.5", "httpd -f -p 8080 -h /hako/src", ports=(8080,))
    result, output = play(stage(step("a", "echo hello > x; wget -q -O - http://web:8080/x"), services=(service,)))
    assert output["a"].endswith("hello\n")
    assert result.state is State.PASSED


def test_steps_find_each_other(play: Any) -> None:
    """Parallel steps are in one network too."""
    it = stage(
        step("server", "echo pong | nc -l -p 9000"),
        step("client", "for i in 1 2 3 4 5 6 7 8 9; do nc server 9000 && exit; sleep 0.1; done; exit 1"),
    )
    result, output = play(it)
    assert result.state is State.PASSED
    assert "pong" in output["client"]


def test_the_script_and_the_mounts_are_read_only(play: Any, tmp_path: Path) -> None:
    """A step can read them, and not change what lies on the host."""
    (tmp_path / "host").write_text("host\n")
    mounts = (HostMount(source=str(tmp_path / "host"), target="/run/hako/file"),)
    it = stage(step("a", "cat /run/hako/file", "! touch /run/hako/file", "! sh -c 'echo > /run/hako/script'"))
    result, output = play(it, mounts=mounts)
    assert result.state is State.PASSED
    assert "host\n" in output["a"]


def test_temporary_volumes_are_shared_and_forgotten(play: Any) -> None:
    """Steps of one Stage share a volume by its name; the next Stage has an empty one."""
    volume = (VolumeMount(name="cache", target="/cache"),)
    it = stage(
        step("a", "ls /cache; echo x > /cache/x", volumes=volume),
        step("b", "cat /cache/x", volumes=volume, depends_on=("a",)),
        volumes=("cache",),
    )
    for _ in range(2):
        result, output = play(it)
        assert result.state is State.PASSED
        assert output["b"].endswith("x\n")
        assert output["a"] == "+ ls /cache; echo x > /cache/x\n"


def test_working_dir_user_and_shell_are_honoured(play: Any) -> None:
    """As the step says."""
    it = stage(step("a", "pwd; id -u", working_dir="/tmp", user="1234", shell="/bin/ash"))  # noqa: S604  (a field of that name)
    _, output = play(it)
    assert output["a"].endswith("/tmp\n1234\n")


def test_the_images_own_command_runs_without_commands(play: Any) -> None:
    """`entrypoint` takes the place of the image's."""
    result, output = play(stage(StepSpec(name="a", image="busybox", entrypoint=("echo", "plain"))))
    assert (result.state, output["a"]) == (State.PASSED, "plain\n")


def test_a_memory_limit_is_enforced(play: Any) -> None:
    """The kernel ends what takes too much, and the reason says so."""
    result, _ = play(stage(step("a", "dd if=/dev/zero of=/dev/null bs=200M count=1", memory=32 << 20)))
    assert result.state is State.FAILED
    assert result.steps[0].exit_code == 137
    assert result.steps[0].reason == "out of memory (its limit is 32 MiB)"


def test_a_timeout_ends_all_processes(play: Any) -> None:
    """Also those that went away from their parent, ignore signals or made a session."""
    mark = f"{time.time_ns() % 10**9 + 10**9}"
    it = stage(step("a", f"trap '' TERM; setsid sleep {mark} & (sleep {mark} &) ; sleep {mark}", timeout=0.5))
    result, _ = play(it)
    assert result.steps[0].reason == "its timeout of 0.5 s is over"
    running = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert mark.encode() not in running


def test_a_shell_that_is_not_in_the_image_is_an_error(play: Any) -> None:
    """The engine's words name it; the other steps run to their end."""
    result, _ = play(stage(step("a", "true", shell="/bin/zsh"), step("b", "true")))  # noqa: S604
    assert result.steps[0].state is State.ERROR
    assert "/bin/zsh" in result.steps[0].reason
    assert result.steps[1].state is State.PASSED


def test_a_million_lines_are_no_burden(play: Any) -> None:
    """Output is not lost."""
    _, output = play(stage(step("a", "seq 1000000 | tail -n 1000000", "echo end")))
    lines = output["a"].splitlines()
    assert (len(lines), lines[1], lines[1_000_000]) == (1_000_003, "1", "1000000")


def test_missing_images_are_named(engine_backend: EngineBackend) -> None:
    """And one that its registry does not have, or that has none, is a clear error."""
    assert engine_backend.missing_images(("busybox", "nobody/nothing:1", "nobody/nothing:1")) == ("nobody/nothing:1",)
    with pytest.raises(BackendError, match="no image 'nobody/nothing:1' here, and registry"):
        engine_backend.fetch_image("nobody/nothing:1")


def test_an_image_that_is_missing_is_the_steps_error(play: Any) -> None:
    """As when somebody removes it between the check and the start."""
    result, _ = play(stage(StepSpec(name="a", image="nobody/nothing:1", commands=("true",))))
    assert result.steps[0].state is State.ERROR
    assert "nobody/nothing:1" in result.steps[0].reason


def test_a_killed_run_is_reclaimed_by_the_next(engine_home: Path, engine_backend: EngineBackend) -> None:
    """SIGKILL of a runner leaves a container, a network and a folder: the next one removes them, and nothing else."""
    program = """
import os, sys
from pathlib import Path
from ci.pipeline.spec import StageSpec, StepSpec
from runners.backend import Container
from runners.engine import EngineBackend
from runners.runfolder import RunFolder
from sandbox.image.sources import Sources
from sandbox.runtime.engine import Engine
home = Path(sys.argv[1])
with RunFolder(home) as folder:
    (folder.path / "workspace").mkdir()
    backend = EngineBackend(Engine(home), folder, sources=Sources)
    step = StepSpec(name="a", image="busybox", commands=("sleep 1000",))
    prepared = backend.prepare(StageSpec(name="test", number=1, steps=(step,)), workspace=folder.path / "workspace")
    prepared.start(Container(step=step, script="sleep 1000"))
    print(folder.name, prepared.name, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(engine_home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run, network = process.stdout.readline().split()
        assert runfolder.is_alive(engine_home, run)
        engine_backend.reclaim()  # a living run is left alone
        assert runfolder.is_alive(engine_home, run)
        process.send_signal(signal.SIGKILL)
    engine = engine_backend.engine
    assert [config.name for config, _ in engine.containers() if label(config) == run] == [f"{network}-a"]
    engine_backend.reclaim()
    assert [config.name for config, _ in engine.containers(all=True) if label(config) == run] == []
    assert network not in [one.name for one in engine.networks.list()]
    assert not (engine_home / "tmp" / run).exists()
    assert engine_backend.folder.path.is_dir()


def test_a_half_made_image_is_reclaimed(engine_home: Path, engine_backend: EngineBackend) -> None:
    """What a run left that was killed while it made an image goes with the next start; images stay."""
    left = engine_home / "tmp" / "image-0123456789abcdef"
    left.mkdir()
    (left / "file").write_text("x")
    engine_backend.reclaim()
    assert not left.exists()
    assert engine_backend.missing_images(("busybox",)) == ()


def test_descriptors_are_given_back(play: Any) -> None:
    """A run of many steps leaves no open descriptor."""
    play(stage(step("a", "true")))
    before = len(list(Path("/proc/self/fd").iterdir()))
    play(stage(*(step(f"s{number}", "true") for number in range(5))))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_a_step_asks_of_its_container(play: Any) -> None:
    """Hosts, resolver, devices, memory file systems and arguments of the image's entrypoint reach the container."""
    look = step(
        "look",
        "grep 192.0.2.7 /etc/hosts",
        "cat /etc/resolv.conf",
        "df -k /dev/shm /scratch",
        "ls /dev/again",
        extra_hosts=(("registry.test", "192.0.2.7"),),
        dns=("192.0.2.53",),
        dns_search=("example.test",),
        tmpfs=(Tmpfs(target="/scratch", options=("size=1m",)),),
        shm_size=2 << 20,
        devices=(Device(source="/dev/null", target="/dev/again"),),
    )
    alone = step("alone", "ls /sys/class/net", network_mode="none", depends_on=("look",))
    said = StepSpec(name="said", image="busybox", entrypoint=("/bin/echo", "a"), arguments=("b",))
    result, output = play(stage(look, alone, said))
    assert result.state is State.PASSED, output
    assert "registry.test" in output["look"]
    assert "search example.test" in output["look"]
    assert " 2048 " in output["look"]
    assert " 1024 " in output["look"]
    assert output["alone"].split()[-1] == "lo"
    assert output["said"] == "a b\n"
