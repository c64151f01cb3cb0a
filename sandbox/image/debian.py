"""The root file system of a Debian image, built by mmdebstrap and read from it as a tar.

The archive comes through a pipe, so nothing is stored twice. mmdebstrap is started outside a user namespace (it needs
real or subordinate ids); its pipe may be read inside one. The host's apt says where packages come from (`aptsources`).

Root's mmdebstrap mounts the host's /dev, /proc and /sys in its directory, so it gets a mount table and a process table
of its own, and its directory lies in our scratch: killed with us at any moment, it leaves neither process nor mount,
and the directory goes with the next `reclaim`. An ordinary user's makes such name spaces by itself, and must have its
directory where its subordinate ids may go: in /tmp, which the scratch has a note of.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, UnsupportedError
from sandbox.image import aptsources
from sandbox.image.scratch import Outside, Scratch
from sandbox.image.tarformat import Kind, TarEntry
from sandbox.image.tarwriter import TarWriter
from sandbox.kernel.process import set_parent_death_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.image.sources import Source

MISSING = "apt-get install mmdebstrap"
# Everything below the first process of a process table ends with it, and it ends with `unshare`, which ends with us.
_APART = ("unshare", "--mount", "--propagation=private", "--pid", "--mount-proc", "--fork", "--kill-child=SIGKILL")
# apt downloads as its own user, who cannot enter a state directory: for mmdebstrap the scratch lies somewhere open.
_PLACE = "/media"
_ENTER = f'mount --bind "$0" {_PLACE} && TMPDIR={_PLACE} exec "$@"'
_LAST_LINES = 15
_KILL_AFTER = 20  # seconds that mmdebstrap gets to clean up
# What docker's slim images leave out; licences stay, as they must.
_SLIM = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
)
# In hooks `$1` is the root. Packages installed in a container must not start services, neither now nor later, so
# policy-rc.d comes before the packages and stays. The three files are mounted over in a container; what mmdebstrap
# copied there is the host's.
_POLICY = 'printf \'#!/bin/sh\\nexit 101\\n\' > "$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"'
_FINISH = (
    'for name in resolv.conf hostname hosts; do rm -f "$1/etc/$name"; : > "$1/etc/$name"; done; '
    'rm -rf "$1/var/lib/apt/lists"/* "$1/var/cache/apt"/*.bin'
)
# Of what mmdebstrap says, what a person who waits does not need.
_QUIET = (
    "done",
    "success in",
    "using /",
    "removing tempdir",
    "running --",
    "chroot architecture",
    "finding",
    "reading",
)


def apart(line: list[str], folder: Path) -> list[str]:
    """Root's command line, run among mounts and processes of its own, with its temporary files in `folder`."""
    return [*_APART, "sh", "-c", _ENTER, str(folder), *line]


def command(source: Source, *, privileged: bool, options: Mapping[str, str]) -> list[str]:
    """mmdebstrap's command line; the apt sources go to its standard input. `options` are apt's (name to value)."""
    line = ["mmdebstrap", f"--mode={'root' if privileged else 'unshare'}", "--variant=minbase", "--format=tar"]
    if source.include:
        line.append(f"--include={','.join(source.include)}")
    line += [f'--aptopt={name} "{value}"' for name, value in sorted(options.items())]
    if source.slim:
        line += [f"--dpkgopt={option}" for option in _SLIM]
    line += ["--skip=chroot/policy-rc.d", "--skip=output/dev"]  # ours is kept; a container has its own /dev
    line += [f"--essential-hook={_POLICY}", f"--customize-hook={_FINISH}", source.suite, "-", "-"]
    return line


class RootBuild:
    """A running mmdebstrap; a stream of the tar that it writes at its end. `stop` it in any case.

    Raises UnsupportedError where mmdebstrap is missing, SandboxError (from `read`) with its last words when it fails.
    """

    def __init__(self, source: Source, home: Path, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._cleanup = ExitStack()
        self._head = _device_directory()
        self._partial = b""
        self._last: list[str] = []
        self._errors_end = False
        if shutil.which("mmdebstrap", path=search_path()) is None:
            raise UnsupportedError(f"making debian:{source.suite} needs mmdebstrap", hint=MISSING)
        self._privileged = os.geteuid() == 0
        if not self._privileged:
            _check_subordinate_ids()
        options = aptsources.host_options()
        sources = aptsources.for_suite(aptsources.host_sources(Path("/etc/apt")), source.suite, host_codename())
        with_packages = f" with {', '.join(source.include)}" if source.include else ""
        progress(f"building debian:{source.suite}{with_packages} with mmdebstrap; this takes a minute")
        environment = {
            **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
            "PATH": search_path(),
            "LC_ALL": "C.UTF-8",
            "HOME": "/nonexistent",
        }
        line = command(source, privileged=self._privileged, options=options)
        if self._privileged:
            folder = self._cleanup.enter_context(Scratch(home)).path / "tmp"
            folder.mkdir()
            folder.chmod(0o1777)  # within a directory that only we may enter
            line = apart(line, folder)
        else:
            environment["TMPDIR"] = str(self._cleanup.enter_context(Outside(home)))
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                line,
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                # (this process has one thread)
                preexec_fn=_die_with_parent if self._privileged else _end_with_parent,  # noqa: PLW1509
                start_new_session=True,  # Ctrl-C reaches us, and we end it in order
            )
            os.write(writing, sources.encode("utf-8"))  # less than a pipe holds
        except BaseException:
            self._cleanup.close()
            raise
        finally:
            os.close(reading)
            os.close(writing)
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None  # noqa: S101  (both are pipes)
        self._output, self._errors = stdout.fileno(), stderr.fileno()

    def read(self, size: int, /) -> bytes:
        """The next bytes of the tar. What mmdebstrap says meanwhile goes to `progress`."""
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        while True:
            wanted = [self._output] if self._errors_end else [self._output, self._errors]
            poll = select.poll()
            for descriptor in wanted:
                poll.register(descriptor, select.POLLIN)
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._errors in ready:
                self._listen()
            if self._output in ready:
                data = os.read(self._output, size)
                if not data:
                    self._check_end()
                return data

    def stop(self) -> None:
        """End mmdebstrap if it still runs, and delete its directory: root's is ours, a user's it deletes when asked to
        end.
        """
        with self._cleanup:
            self._stop()

    def _stop(self) -> None:
        process = self._process
        if process.poll() is None:
            asking = () if self._privileged else ((signal.SIGTERM, _KILL_AFTER),)
            for number, patience in (*asking, (signal.SIGKILL, None)):
                try:
                    os.killpg(process.pid, number)
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    break
        if self._privileged:
            while os.read(self._errors, 1 << 16):  # until the last of its processes is gone from the directory
                pass
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def _listen(self) -> None:
        data = os.read(self._errors, 1 << 16)
        self._errors_end = not data
        *lines, self._partial = (self._partial + data).replace(b"\r", b"\n").split(b"\n")
        if self._errors_end and self._partial:
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if not text or text.endswith("%"):
                continue
            self._last = [*self._last[-_LAST_LINES + 1 :], text]
            plain = text.removeprefix("I: ")
            if not plain.startswith(_QUIET):
                self._progress(plain)

    def _check_end(self) -> None:
        while not self._errors_end:
            self._listen()
        code = self._process.wait()
        if code == 0:
            return
        errors = [line for line in self._last if line.startswith(("E:", "W:"))] or self._last
        raise SandboxError(
            f"mmdebstrap failed with exit code {code}: {'; '.join(errors[-3:])}",
            hint="are the suite and the packages right, and does `apt-get update` work on this host?",
            reference="bootstrap-failed",
        )


def _device_directory() -> bytes:
    """The entry of an empty /dev, put before mmdebstrap's own, which has either the host's devices in it or no /dev."""
    parts: list[bytes] = []
    TarWriter(lambda data: parts.append(bytes(data))).add(TarEntry(b"./dev", Kind.DIRECTORY, 0o755))
    return b"".join(parts)


def host_codename(path: Path = Path("/etc/os-release")) -> str:
    """The suite that this host runs, `stable` if it does not say."""
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name == "VERSION_CODENAME":
                return value.strip("\"'")
    except OSError:
        pass
    return "stable"


def _die_with_parent() -> None:
    """In the child: when the engine is killed, `unshare` is, and with it mmdebstrap and all it has started."""
    set_parent_death_signal(signal.SIGKILL)


def _end_with_parent() -> None:
    """In the child: when the engine is killed, mmdebstrap is asked to end and cleans up after itself."""
    set_parent_death_signal(signal.SIGTERM)


def search_path() -> str:
    """The user's, and where programs for administrators are, which an ordinary user's does not have."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"


def _check_subordinate_ids() -> None:
    import pwd  # noqa: PLC0415

    uid = os.geteuid()
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        names = {str(uid)}
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        try:
            owners = {line.partition(":")[0] for line in path.read_text(encoding="utf-8").splitlines()}
        except OSError:
            owners = set()
        if not names & owners:
            raise UnsupportedError(
                f"an ordinary user needs a range of ids in {path} to make a Debian image",
                hint="as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, "
                "or make the image as root and `sandbox import` it",
                reference="no-subordinate-ids",
            )
