"""A step that builds an image: `sandbox build` in a process of its own, as the runner's `Handle`.

A build may take minutes, and the runner's loop waits for nothing, so it is a process whose output and end are
descriptors, as a container's are. The Dockerfile and the context are in the workspace, which steps have written: both
are opened beneath it, so that no link of theirs leads anywhere else, and handed over as descriptors. Used by
`runners.engine`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runners.backend import BackendError, Ended, Health, Kept
from sandbox.errors import SandboxError
from sandbox.kernel.paths import Root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.spec import Build

_ROOT = str(Path(__file__).resolve().parents[1])
_DOCKERFILE_LIMIT = 1 << 20  # bytes
_VARIABLE = "HAKO_BUILD_VARIABLE_"  # variables of the build's process
# -I: what is in the environment is for the build and not for the engine's interpreter.
# It ends with the runner, however that ends.
_PROGRAM = (
    f"import signal, sys; sys.path.insert(0, {_ROOT!r}); from sandbox.kernel.process import set_parent_death_signal;"
    " set_parent_death_signal(signal.SIGTERM); from sandbox.cli.main import main; sys.exit(main())"
)


def begin(
    build: Build, workspace: Path, image: str, *, home: Path, network: str, secrets: Mapping[str, str]
) -> BuildHandle:
    """Start to build `image`. `secrets` are those of `RUN --mount=type=secret`, by their ids.

    Raises BackendError for what the workspace does not have, OSError.
    """
    with Root(workspace) as root:
        text = _dockerfile(root, build.dockerfile)
        try:
            context = root.open(build.context, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise BackendError(f"there is no folder {build.context!r} in the workspace") from error
    try:
        given = os.memfd_create("Dockerfile", os.MFD_CLOEXEC)
        try:
            os.write(given, text)
            os.lseek(given, 0, os.SEEK_SET)
            words = ["build", "--progress", "plain", "--file", "-", "--tag", image, "--network", network]
            words += [word for name, value in build.args.items() for word in ("--build-arg", f"{name}={value}")]
            words += ["--target", build.target] if build.target else []
            environment = {"HAKO_HOME": str(home.resolve())}
            for number, (name, value) in enumerate(secrets.items()):  # the command line is for all to see
                words += ["--secret", f"id={name},env={_VARIABLE}{number}"]
                environment[f"{_VARIABLE}{number}"] = value
            return BuildHandle([*words, "."], given, context, environment)
        finally:
            os.close(given)
    finally:
        os.close(context)


def _dockerfile(root: Root, path: str) -> bytes:
    try:
        return root.read_regular(path, _DOCKERFILE_LIMIT)
    except (OSError, SandboxError) as error:
        why = error.message if isinstance(error, SandboxError) else str(error.strerror).lower()
        raise BackendError(f"the Dockerfile {path!r} cannot be read: {why}", hint='"dockerfile:" names it') from error


class BuildHandle:
    """One build that runs."""

    address = ""

    def __init__(self, words: list[str], dockerfile: int, context: int, environment: Mapping[str, str]) -> None:
        self.published: Mapping[int, str] = {}
        self.output, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, *words],
                stdin=dockerfile,
                stdout=writing,
                stderr=writing,
                cwd=f"/proc/self/fd/{context}",
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for the runner, which ends its steps by itself
            )
        except BaseException:
            os.close(self.output)
            raise
        finally:
            os.close(writing)
        self.ended = os.pidfd_open(self._process.pid)
        self.killed = False
        self._asked = False
        self._closed = False

    def health(self) -> Health:
        """A build has none."""
        return Health()

    def tcp_socket(self, family: int) -> socket.socket:
        """Of this host; there is no address to reach with it."""
        return socket.socket(family)

    def result(self) -> Ended:
        """Its exit code."""
        code = self._process.wait()
        return Ended(code=code if code >= 0 else 128 - code)

    def terminate(self) -> None:
        """It takes down what a RUN has started, and ends."""
        self._asked = True
        self._process.terminate()

    def kill(self) -> None:
        """It is asked first: its containers are not its children, and would go on. The second time it is killed."""
        if self._asked:
            self.killed = True
            self._process.kill()
        else:
            self.terminate()

    def written(self) -> bytes:
        """A build has no outputs."""
        return b""

    def keep(self) -> Kept:
        """There is no container that could be kept."""
        raise BackendError("a step that builds an image leaves no container")

    def close(self) -> None:
        """End it, if it has not ended, and close what it has."""
        if not self._closed:
            self._closed = True
            if self._process.poll() is None:
                self.killed = True
                self._process.kill()
                self._process.wait()
            os.close(self.output)
            os.close(self.ended)
