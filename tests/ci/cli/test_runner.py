"""`ci-run runner` with a real queue, a repository and a server that plays: Stages run, and survive what happens."""

from __future__ import annotations

import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.pipeline.failure import OnFailure
from ci.pipeline.outputs import Reference
from ci.pipeline.spec import Clone, VolumeMount
from tests.ci.cli.runners_field import LONG, Field, finished, processes, step, text, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture
def field() -> Iterator[Field]:
    """Server, queue, repository."""
    with Field() as made:
        yield made


def test_a_stage_is_run_and_told(field: Field) -> None:
    """Steps in order, exit codes, logs to the last byte, outputs, reports and artifacts reach the server."""
    report = '<testsuite><testcase name="t"/></testsuite>'
    told = field.stage(
        1,
        step("first", "cat a.txt", "echo v=1 >> $CI_OUTPUT", f"echo '{report}' > r.xml", reports=("r.xml",)),
        step(
            "second",
            "echo got $V; mkdir out; echo x > 'out/a b.txt'",
            outputs={"V": Reference("first", "v")},
            artifacts=("out",),
            depends_on=("first",),
        ),
        step("third", "echo $CI_MACHINE; exit 3", depends_on=("second",)),
        step("fourth", "true", depends_on=("third",)),
    )
    field.runner("host-1")
    field.queue(1)
    result = finished(told)
    assert (result["state"], result["outputs"]["first"]) == ("failure", {"v": "1"})
    states = {number: state for number, state in told.steps if state != "running"}
    assert states == {1: "success", 2: "success", 3: "success", 4: "failure", 5: "skipped"}
    assert [body.get("exit_code") for body in told.bodies if body["step"] == 4] == [None, 3]
    assert "refs/heads/main" in text(told, 1)
    assert "hello\n" in text(told, 2)
    assert "got 1\n" in text(told, 3)
    assert "host-1\n" in text(told, 4)
    assert told.ended >= {1, 2, 3, 4}
    assert told.tests[2]["total"] == 1
    assert told.artifacts == {"out/a b.txt": b"x\n"}
    wait(lambda: not field.left("host-1"), "everything to be given back")


def test_artifacts_of_earlier_stages_and_outputs_are_there(field: Field) -> None:
    """What the server says that a Stage needs is in its workspace and its environment."""
    field.stage(1, step("x", "true")).artifacts["dist/app"] = b"program"
    told = field.stage(
        2,
        step("use", "cat dist/app; echo $V", outputs={"V": Reference("build/x", "v")}),
        artifacts=[1],
        outputs={"build/x": {"v": "seven"}},
    )
    field.runner()
    field.queue(2)
    assert finished(told)["state"] == "success"
    assert "program" in text(told, 2)
    assert "seven" in text(told, 2)


def test_secrets_do_not_leave_the_runner(field: Field) -> None:
    """Plain, in base64, in a URL, line by line: stars."""
    told = field.stage(
        1,
        step("leak", "echo $S; printf %s $S | base64; echo a%2Fb%26c-secret; true", secrets={"S": "s"}),
        secrets={"s": "a/b&c-secret"},
    )
    field.runner()
    field.queue(1)
    assert finished(told)["state"] == "success"
    shown = text(told, 2)
    assert shown.count("********") >= 3
    assert "secret" not in shown.replace("-secret; true", "")
    assert "YS9iJmMtc2Vj" not in shown


def test_what_only_trusted_repositories_may_is_refused(field: Field) -> None:
    """Whatever the server's linter has said."""
    told = field.stage(1, step("x", "cat /h/etc/shadow", volumes=(VolumeMount(host="/", target="/h"),)))
    field.runner()
    field.queue(1)
    result = finished(told)
    assert result["state"] == "error"
    assert "x wants the host's folder /" in result["error"]


@pytest.mark.parametrize("way", ["channel", "heartbeat"])
def test_a_cancelled_stage_is_dead_within_five_seconds(field: Field, way: str) -> None:
    """Also what has a session of its own, or ignores SIGTERM; the end is told as killed."""
    mark = uuid.uuid4().hex
    told = field.stage(
        1,
        step(
            "x",
            f"(trap '' TERM; setsid sh -c 'while :; do sleep 1; done; : {mark}') & trap '' TERM; echo up; sleep 1000",
        ),
    )
    field.runner()
    field.queue(1)
    wait(lambda: "up\n" in text(told, 2), "the step")
    wait(lambda: processes(mark), "its child")
    if way == "channel":
        field.publish(1)
    else:
        field.server.cancelled.add(1)
    began = time.monotonic()
    wait(lambda: not processes(mark), "the processes to end")
    assert time.monotonic() - began < 5
    assert finished(told)["state"] == "killed"
    assert (2, "killed") in told.steps
    wait(lambda: not field.left(), "everything to be given back")


def test_the_server_restarts_in_the_middle(field: Field) -> None:
    """The build goes on meanwhile, and nothing of its log is lost or doubled."""
    told = field.stage(1, step("x", "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done"))
    field.runner()
    field.queue(1)
    wait(lambda: "line 3\n" in text(told, 2), "the step")
    field.server.stop()
    time.sleep(2.5)
    assert told.result is None
    field.server.start()
    assert finished(told)["state"] == "success"
    assert [line for line in text(told, 2).splitlines() if line.startswith("line")] == [f"line {i}" for i in range(40)]


def test_redis_restarts_in_the_middle(field: Field) -> None:
    """The build goes on; afterwards Stages are taken as before, and cancelled."""
    told = field.stage(1, step("x", "echo up; sleep 2"))
    field.runner()
    field.queue(1)
    wait(lambda: "up\n" in text(told, 2), "the step")
    field.valkey.stop()
    time.sleep(0.5)
    field.valkey.start()
    assert finished(told)["state"] == "success"
    second = field.stage(2, step("x", "echo up; sleep 1000"))
    field.queue(2)
    wait(lambda: "up\n" in text(second, 2), "the second stage")
    field.server.cancelled.add(2)
    assert finished(second)["state"] == "killed"


def test_a_killed_runner_loses_no_stage(field: Field) -> None:
    """All of its processes are killed. The next one gives up the Stage, and removes what was left of it."""
    told = field.stage(1, step("x", "echo up; sleep 1000"))
    runner = field.runner()
    field.queue(1)
    wait(lambda: "up\n" in text(told, 2), "the step")
    field.kill_processes(field.folder / "r")
    runner.wait(LONG)
    assert field.left()
    field.runner()
    wait(lambda: field.server.lost == [1], "the server to hear of it")
    wait(lambda: not field.left(), "what was left to be removed")
    told.assignment = field.stage(9, step("x", "echo again")).assignment | {"stage": told.assignment["stage"]}
    told.assignment["stage"] |= {"spec": field.server.stages[9].assignment["stage"]["spec"]}
    field.queue(1)
    assert finished(told)["state"] == "success"
    assert told.attempts == 2


def test_a_killed_stage_process_is_no_loss_of_the_runner(field: Field) -> None:
    """One Stage's process is killed: the server hears that it is lost, another Stage goes on."""
    told, other = field.stage(1, step("x", "echo up; sleep 1000")), field.stage(2, step("x", "echo up; sleep 4"))
    field.runner()
    field.queue(1)
    field.queue(2)
    wait(lambda: "up\n" in text(told, 2) and "up\n" in text(other, 2), "the steps")
    pid = int((field.folder / "r/runner/stages/1/process").read_text().split()[0])
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    wait(lambda: field.server.lost == [1], "the server to hear of it")
    assert finished(other)["state"] == "success"
    wait(lambda: not field.left(), "what was left to be removed")


def test_stages_survive_the_death_of_the_runner_alone(field: Field) -> None:
    """Their processes go on; the next runner finds them, and says that it has them."""
    told = field.stage(1, step("x", "echo up; sleep 4; echo end"))
    runner = field.runner()
    field.queue(1)
    wait(lambda: "up\n" in text(told, 2), "the step")
    runner.kill()
    runner.wait(LONG)
    field.runner()
    assert field.server.hellos[-1]["resumed"] == [1]
    assert finished(told)["state"] == "success"
    assert told.attempts == 1


def test_sigterm_drains(field: Field) -> None:
    """The running Stage ends as it would have; nothing more is taken; the runner ends."""
    told, later = field.stage(1, step("x", "echo up; sleep 2")), field.stage(2, step("x", "true"))
    runner = field.runner()
    field.queue(1)
    wait(lambda: "up\n" in text(told, 2), "the step")
    runner.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    field.queue(2)
    assert runner.wait(LONG) == 0
    assert finished(told)["state"] == "success"
    assert later.attempts == 0


def test_a_second_sigterm_gives_stages_back(field: Field) -> None:
    """They are ended at once, and are another's."""
    mark = uuid.uuid4().hex
    told = field.stage(1, step("x", f"echo up; sleep 1000; : {mark}"))
    runner = field.runner()
    field.queue(1)
    wait(lambda: "up\n" in text(told, 2), "the step")
    assert field.end(runner) == 0
    assert not processes(mark)
    assert field.server.lost == [1]
    assert told.result is None
    assert not field.left()


def test_labels_choose_the_runner(field: Field) -> None:
    """A Stage is taken by a runner that has its labels, and waits where there is none."""
    gpu, plain = field.stage(1, step("x", "echo $CI_MACHINE")), field.stage(2, step("x", "echo $CI_MACHINE"))
    field.runner("plain")
    field.queue(1, {"gpu": "yes"})
    field.queue(2)
    assert finished(plain)["state"] == "success"
    assert "plain\n" in text(plain, 2)
    assert gpu.attempts == 0
    field.runner("special", HAKO_RUNNER_LABELS="gpu=yes")
    assert finished(gpu)["state"] == "success"
    assert "special\n" in text(gpu, 2)


def test_two_runners_do_not_share_a_folder(field: Field) -> None:
    """The second says so and ends."""
    field.runner()
    assert field.runner().wait(LONG) == 2


def test_what_the_clone_cannot_do_is_said(field: Field) -> None:
    """In the clone's log and as the Stage's error."""
    told = field.stage(1, step("x", "true"), remote={"url": (field.folder / "nowhere").as_uri(), "header": ""})
    field.runner()
    field.queue(1)
    result = finished(told)
    assert result["state"] == "error"
    assert "git fetch failed" in result["error"]
    assert "git fetch failed" in text(told, 1)
    assert Path(field.folder).is_dir()


def test_a_clone_with_an_image_of_its_own(field: Field) -> None:
    """It begins in an empty workspace, which the steps after it have; the login is for it alone, and trusted."""
    fetch = step(
        "fetch",
        "ls -A; echo fetched > f",
        "echo $PLUGIN_DEPTH; cat ~/.netrc",
        environment={"PLUGIN_DEPTH": "7"},
        failure=OnFailure.FAST,
    )
    build = step("build", "ls -A", "cat f; ls ~/.netrc || echo none", depends_on=("fetch",))
    remote = {"url": "https://git.example.org/o/p.git", "header": "Authorization: Basic dTpob2xhLXNlY3JldA=="}
    trusted = {"id": 5, "name": "o/p", "trusted": True}
    told = field.stage(1, fetch, build, clone=Clone(steps=("fetch",)), remote=remote, repository=trusted)
    other = field.stage(2, fetch, build, clone=Clone(steps=("fetch",)), remote=remote)
    field.runner()
    field.queue(1)
    assert finished(told)["state"] == "success"
    assert {number: state for number, state in told.steps if state != "running"} == {1: "success", 2: "success"}
    said = text(told, 1)
    assert "7\n" in said
    assert "machine git.example.org\nlogin u\npassword " in said
    assert "hola-secret" not in said
    assert "a.txt" not in said
    assert "fetched\n" in text(told, 2)
    assert "none\n" in text(told, 2)
    field.queue(2)
    assert finished(other)["state"] == "failure"
    assert "machine" not in text(other, 1)


def test_a_clone_with_an_image_of_its_own_that_fails(field: Field) -> None:
    """The Stage has failed, and no step of it runs, not even one for failures."""
    fetch = step("fetch", "exit 4", failure=OnFailure.FAST)
    after = step("after", "true", depends_on=("fetch",), run_on_failure=True)
    told = field.stage(1, fetch, after, clone=Clone(steps=("fetch",)))
    field.runner()
    field.queue(1)
    assert finished(told)["state"] == "failure"
    assert [state for number, state in told.steps if number == 1][-1] == "failure"
    assert not [state for number, state in told.steps if number == 2 and state in {"running", "success"}]
