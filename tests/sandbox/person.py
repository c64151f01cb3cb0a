"""A person at a terminal of their own: for tests of what is interactive."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from sandbox.kernel.pty import set_size
from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

PATIENCE = 20.0  # seconds


class Person:
    """Types at a terminal that the command has for its own, and reads the screen."""

    def __init__(self, sandbox: Sandbox, *words: str) -> None:
        self.master, slave = pty.openpty()
        set_size(self.master, 24, 80)
        self.before = termios.tcgetattr(slave)
        self.screen = b""
        # setsid -c: the terminal is the controlling one, so that its signals arrive
        self.process = subprocess.Popen(
            ["setsid", "-c", *COMMAND, *words], env=sandbox.environment, stdin=slave, stdout=slave, stderr=slave
        )
        self.slave = slave

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def see(self, text: str) -> None:
        """Wait until the text is on the screen after what was seen before."""
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self.screen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} does not appear; the screen has {self.screen!r}"
            self.screen += os.read(self.master, 4096)
        self.screen = self.screen.partition(text.encode())[2]

    def leave(self) -> int:
        """Wait for the command's end; the terminal must be as it was."""
        code = self.process.wait(PATIENCE)
        assert termios.tcgetattr(self.slave) == self.before
        return code

    def close(self) -> None:
        """Whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
