"""The root file system of a Debian image, built by mmdebstrap and read from it as a tar.

The archive comes through a pipe, so nothing is stored twice. mmdebstrap is started outside a user namespace (it needs
real or subordinate ids); its pipe may be read inside one. The host's apt says where packages come from (`aptsources`).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError, UnsupportedError
from sandbox.image import aptsources
from sandbox.image.tarformat import Kind, TarEntry
from sandbox.image.tarwriter import TarWriter
from sandbox.kernel.process import set_parent_death_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.image.sources import Source

MISSING = "apt-get install mmdebstrap"
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

    def __init__(self, source: Source, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._head = _device_directory()
        self._partial = b""
        self._last: list[str] = []
        self._errors_end = False
        if shutil.which("mmdebstrap", path=search_path()) is None:
            raise UnsupportedError(f"making debian:{source.suite} needs mmdebstrap", hint=MISSING)
        privileged = os.geteuid() == 0
        if not privileged:
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
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                command(source, privileged=privileged, options=options),
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                preexec_fn=_end_with_parent,  # noqa: PLW1509  (this process has one thread)
                start_new_session=True,  # Ctrl-C reaches us, and we end it in order
            )
            os.write(writing, sources.encode("utf-8"))  # less than a pipe holds
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
        """End mmdebstrap if it still runs; it deletes its own directory when asked to end."""
        process = self._process
        if process.poll() is None:
            for number, patience in ((signal.SIGTERM, _KILL_AFTER), (signal.SIGKILL, None)):
                try:
                    os.killpg(process.pid, number)
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    break
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
