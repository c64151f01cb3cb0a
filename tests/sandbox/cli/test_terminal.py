"""`-it`: a person at a real pseudo-terminal."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.kernel.pty import set_size
from tests.sandbox.person import PATIENCE, Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.command import Sandbox

pytestmark = pytest.mark.root
RUN = ("run", "--rm", "--network", "none", "-it")


@pytest.fixture
def sit_down(sandbox: Sandbox) -> Iterator[Callable[..., Person]]:
    """People at terminals."""
    people: list[Person] = []

    def begin(*words: str) -> Person:
        people.append(Person(sandbox, *words))
        return people[-1]

    yield begin
    for person in people:
        person.close()


def test_a_shell_by_hand(sit_down: Callable[..., Person]) -> None:
    """Keys are echoed by the container's terminal, output appears, the shell's exit code is ours."""
    person = sit_down(*RUN, "busybox", "sh")
    person.see("# ")
    person.type("tty; echo $TERM\r")
    person.see("/dev/pts/0\r\nxterm\r\n")
    person.type("exit 5\r")
    assert person.leave() == 5


def test_control_c_goes_to_the_program(sit_down: Callable[..., Person]) -> None:
    """It interrupts what runs in the shell, not the shell and not us; job control works."""
    person = sit_down(*RUN, "busybox", "sh")
    person.see("# ")
    person.type("sleep 1000\r")
    person.see("sleep 1000\r\n")
    time.sleep(0.3)
    person.type("\x03")
    person.see("# ")
    person.type("echo code $?\r")
    person.see("code 130\r\n")
    person.see("# ")  # typed earlier, it would meet the terminal between two modes
    person.type("\x04")  # end of file ends the shell
    assert person.leave() == 0


def test_the_window_s_size(sit_down: Callable[..., Person]) -> None:
    """The container's terminal has the size of ours, from the start and when it changes."""
    person = sit_down(*RUN, "busybox", "sh")
    person.see("# ")
    person.type("stty size\r")
    person.see("\r\n24 80\r\n")
    set_size(person.master, 50, 132)
    time.sleep(0.3)
    person.type("stty size\r")
    person.see("\r\n50 132\r\n")
    person.type("exit\r")
    assert person.leave() == 0


def test_an_editor_and_a_pager(sit_down: Callable[..., Person]) -> None:
    """Programs that draw on the whole screen have its size, each key at once, Escape too, and leave it as it was."""
    person = sit_down(*RUN, "busybox", "sh")
    person.see("# ")
    person.type("vi /tmp/text\r")
    person.see("\x1b[24;1H")  # the status is at the bottom of our screen
    person.type("ione\rtwo")
    person.see("two")
    person.type("\x1b")
    time.sleep(0.3)  # it waits whether a key's further characters follow
    person.type(":wq\r")
    person.see("# ")
    person.type("i=0; while [ $i -lt 99 ]; do echo $i; i=$((i+1)); done >> /tmp/text; less /tmp/text; echo over $?\r")
    person.see("one\r\n")
    person.see("\x1b[K20\r\n")
    person.type(" ")
    person.see("\x1b[K43\r\n")
    person.type("q")
    person.see("over 0\r\n")
    person.type("exit\r")
    assert person.leave() == 0


def test_a_container_is_left_alone_and_taken_up_by_exec(
    sandbox: Sandbox, sit_down: Callable[..., Person], name: str
) -> None:
    """ctrl-p ctrl-q leaves it running; a ctrl-p alone is typed."""
    person = sit_down("run", "--network", "none", "-it", "--name", name, "busybox", "cat")
    person.type("a\x10b\r")
    person.see("a\x10b\r\n")
    person.type("\x10\x11")
    person.see("read escape sequence")
    assert person.leave() == 0
    other = sit_down("exec", "-it", name, "sh", "-c", "tty; exit 3")
    other.see("/dev/pts/1\r\n")
    assert other.leave() == 3
    assert sandbox("rm", "-f", name).returncode == 0


def test_a_container_is_taken_up_by_attach(sandbox: Sandbox, sit_down: Callable[..., Person], name: str) -> None:
    """Its terminal is ours again, with our size; other detach keys leave it; its end is ours."""
    sandbox("run", "-dit", "--network", "none", "--name", name, "busybox", "sh")
    person = sit_down("attach", "--detach-keys", "ctrl-x,x", name)
    time.sleep(0.5)  # until its terminal is raw: nothing tells when
    person.type("stty size\r")
    person.see("\r\n24 80\r\n")
    person.type("A=1\r")
    person.type("\x18x")
    person.see("read escape sequence")
    assert person.leave() == 0
    again = sit_down("attach", name)
    time.sleep(0.5)
    again.type("echo $A; exit 7\r")
    again.see("\r\n1\r\n")
    assert again.leave() == 7
    told = sandbox("events", "--since", "1m", "--until", "0s", "-f", f"container={name}", "--format", "{{.Action}}")
    assert told.stdout.split() == ["create", "start", "attach", "detach", "attach", "die"]


def test_exec_is_left_alone(sandbox: Sandbox, sit_down: Callable[..., Person], name: str) -> None:
    """What was started by exec goes on without us, also when it prints more than a terminal holds."""
    sandbox("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "1000")
    person = sit_down("exec", "-it", name, "sh", "-c", "echo ready; read x; sleep 100")
    person.see("ready")
    person.type("\x10\x11")
    person.see("read escape sequence")
    assert person.leave() == 0
    other = sit_down("exec", "-it", "--detach-keys", "z", name, "sh", "-c",
                     "echo ready; sleep 0.3; seq 100000; echo done > /done; sleep 100")  # fmt: skip
    other.see("ready")
    other.type("z")
    assert other.process.wait(PATIENCE) == 0
    deadline = time.monotonic() + PATIENCE
    while sandbox("exec", name, "cat", "/done").stdout != "done\n" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sandbox("exec", name, "cat", "/done").stdout == "done\n"
    assert "sleep 100\n" in sandbox("top", name, "-o", "args").stdout


def test_exec_resizes(sandbox: Sandbox, sit_down: Callable[..., Person], name: str) -> None:
    """A shell by exec has its own terminal, with our window's size."""
    sandbox("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "1000")
    person = sit_down("exec", "-it", name, "sh")
    person.see("# ")
    set_size(person.master, 33, 99)
    time.sleep(0.3)
    person.type("stty size; exit 2\r")
    person.see("\r\n33 99\r\n")
    assert person.leave() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_right_when_we_are_ended(
    sandbox: Sandbox, sit_down: Callable[..., Person], name: str, number: int
) -> None:
    """A signal ends us and not the container, as with docker; the terminal is as it was."""
    person = sit_down("run", "--network", "none", "-it", "--name", name, "busybox", "sh")
    person.see("# ")
    person.process.send_signal(number)
    assert person.leave() == 128 + number
    assert name in sandbox("ps", "--format", "{{.Names}}").stdout.split()


def test_a_start_that_fails(sit_down: Callable[..., Person]) -> None:
    """The terminal stays as it was, and the message is a plain line."""
    person = sit_down(*RUN, "busybox", "nosuch")
    person.see("sandbox: cannot run 'nosuch'")
    assert person.leave() == 127


def test_output_without_input(sandbox: Sandbox) -> None:
    """-t alone needs no terminal of ours; lines end as a terminal ends them."""
    done = sandbox("run", "--rm", "--network", "none", "-t", "busybox", "sh", "-c", "tty; echo err >&2; exit 4")
    assert (done.stdout, done.stderr, done.returncode) == ("/dev/pts/0\r\nerr\r\n", "", 4)


def test_it_needs_a_terminal(sandbox: Sandbox) -> None:
    """-it from a pipe is refused in docker's words."""
    for words in (RUN, ("exec", "-it")):
        done = sandbox(*words, "busybox", "sh")
        assert (done.returncode, done.stderr) == (1, "sandbox: the input device is not a TTY (leave out -t)\n")
