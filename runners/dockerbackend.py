"""The back end on a Docker Engine API: dockerd, or podman's service, on this host.

As on our own engine a Stage has a network of its own, in which services and steps find each other by name; the
workspace, temporary volumes and scripts are bind mounts, so the daemon has to see this host's files. Everything it
makes carries the name of the run as a label, by which `reclaim` finds what dead ones have left. Images are pulled by
the daemon. What only our engine can is refused with a sentence: steps that build images, and keeping containers.
Source: the Docker Engine API, version 1.41.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import Healthcheck
from requests.exceptions import RequestException

from ci.pipeline import outputs
from ci.pipeline.script import script_arguments
from runners import runfolder
from runners.backend import BackendError
from runners.dockerhandle import DockerHandle
from runners.names import host_name
from sandbox.kernel.paths import remove_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.backend import Container, HostMount
    from runners.host import Login
    from runners.runfolder import RunFolder

RUN_LABEL = "hako.run"
OUTPUT, SCRIPT = "/run/hako/output", "/run/hako/script"
_NANO = 1_000_000_000
_PATIENCE = 60  # seconds for an answer of the daemon; starting a container is one
_HUB = "docker.io"


class DockerBackend:
    """Makes containers by the daemon at `url` for the run that `folder` belongs to. Raises BackendError."""

    def __init__(
        self, url: str, home: Path, folder: RunFolder, *, logins: Sequence[Login], progress: Callable[[str], None]
    ) -> None:
        self.url = url
        self.folder = folder
        self._home = home
        self._logins = {login.host: login for login in logins}
        self._progress = progress
        with converted():
            self.client = docker.DockerClient(base_url=url, timeout=_PATIENCE, version="auto")

    @property
    def warnings(self) -> tuple[str, ...]:
        """It has everything."""
        return ()

    def close(self) -> None:
        """Give the connection back."""
        self.client.close()

    def reclaim(self) -> None:
        """Containers and networks of runs without a process, then their folders."""
        with converted():
            every = {"filters": {"label": RUN_LABEL}}
            for container in self.client.containers.list(all=True, **every):
                if not runfolder.is_alive(self._home, container.labels[RUN_LABEL]):
                    _remove(container, force=True)
            for network in self.client.networks.list(**every):
                if not runfolder.is_alive(self._home, network.attrs["Labels"][RUN_LABEL]):
                    _remove(network)
        runfolder.reclaim(self._home, before=lambda _: None)

    def missing_images(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those that the daemon does not have."""
        return tuple(dict.fromkeys(name for name in names if not self.image_id(name)))

    def fetch_image(self, name: str) -> None:
        """Have it pulled."""
        first, slash, _ = name.partition("/")
        host = first if slash and ("." in first or ":" in first or first == "localhost") else _HUB
        login = self._logins.get(host)
        auth = {"username": login.username, "password": login.password} if login is not None else None
        repository, colon, tag = name.rpartition(":")
        if "@" in name or not colon or "/" in tag:
            repository, tag = name, ""
        with converted():
            image = self.client.images.pull(
                repository, tag=tag or (None if "@" in name else "latest"), auth_config=auth
            )
        self._progress(f"pulled {name} ({image.short_id})")

    def prepare(self, stage: StageSpec, *, workspace: Path, mounts: tuple[HostMount, ...] = ()) -> DockerStage:
        """The Stage's network and volumes."""
        return DockerStage(self, stage, workspace, mounts)

    def image_id(self, name: str) -> str:
        """The daemon's id of an image; empty where it has none of that name."""
        with converted():
            try:
                return str(self.client.images.get(name).id)
            except ImageNotFound:
                return ""


class DockerStage:
    """One Stage at a daemon."""

    def __init__(
        self, backend: DockerBackend, stage: StageSpec, workspace: Path, mounts: tuple[HostMount, ...]
    ) -> None:
        self._backend = backend
        self._stage = stage
        self._workspace = workspace
        self._mounts = mounts
        self._handles: list[DockerHandle] = []
        self._name = f"{backend.folder.name}-{stage.number}"
        self._labels = {RUN_LABEL: backend.folder.name, "hako.stage": stage.name}
        self._path = backend.folder.path / self._name
        self._network: Any = None
        try:
            self._path.mkdir(mode=0o700)
            for volume in stage.volumes:
                (self._path / "volumes" / volume).mkdir(mode=0o755, parents=True)
            with converted():
                self._network = backend.client.networks.create(self._name, driver="bridge", labels=self._labels)
        except (BackendError, OSError) as error:
            self.finish()
            raise error if isinstance(error, BackendError) else BackendError(f"{error.filename}: {error}") from error

    def start(self, container: Container) -> DockerHandle:
        """Start one container; its output comes by a connection of its own."""
        step = container.step
        if step.build is not None or step.built_by:
            raise BackendError("steps that build images need Hako's own engine", hint="HAKO_RUNNER_BACKEND=hako")
        number = len(self._handles)
        output = self._path / f"output-{number}"
        client = self._backend.client
        with converted():
            try:
                made = client.containers.create(**self._options(container, number, output))
            except ImageNotFound:
                raise BackendError(f"no image {step.image!r} at {self._backend.url}") from None
            handle = DockerHandle(self._backend.url, made, output, network=self._name)
        self._handles.append(handle)
        return handle

    def image_id(self, step: StepSpec) -> str:
        """The daemon's."""
        return self._backend.image_id(step.image)

    def finish(self) -> None:
        """Containers, network, volumes; what fails stays for `reclaim`."""
        for handle in self._handles:
            handle.close()
        if self._network is not None:
            _remove(self._network)
            self._network = None
        with contextlib.suppress(OSError):
            remove_path(self._path)

    def _networking(self, step: StepSpec) -> dict[str, Any]:
        if step.network_mode:
            return {"network_mode": step.network_mode}
        endpoint = self._backend.client.api.create_endpoint_config(aliases=[host_name(step.name)])
        return {"network": self._name, "networking_config": {self._name: endpoint}}

    def _options(self, container: Container, number: int, output: Path) -> dict[str, Any]:
        """Of docker-py's `create`."""
        step = container.step
        environment = dict(container.environment)
        binds = [f"{self._workspace}:{self._stage.workspace}"]
        for mount in (*self._mounts, *container.mounts):
            binds.append(f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}")
        for volume in step.volumes:
            source = volume.host or str(self._path / "volumes" / volume.name)
            binds.append(f"{source}:{volume.target}{':ro' if volume.read_only else ''}")
        entrypoint: Sequence[str] | None = step.entrypoint or None
        command: Sequence[str] | None = step.arguments or None
        if container.script:
            path = self._path / f"script-{number}"
            path.write_text(container.script, "utf-8", "surrogateescape")
            path.chmod(0o444)
            binds.append(f"{path}:{SCRIPT}:ro")
            entrypoint, command = script_arguments(step.shell, SCRIPT), None
        if not container.service:
            output.touch()
            output.chmod(0o666)
            binds.append(f"{output}:{OUTPUT}")
            environment[outputs.VARIABLE] = OUTPUT
        wanted = {
            "privileged": step.privileged,
            "mem_limit": step.memory,
            "memswap_limit": step.memory_swap,
            "nano_cpus": int(step.cpus * _NANO) if step.cpus else None,
            "shm_size": step.shm_size,
            "dns": list(step.dns),
            "dns_search": list(step.dns_search),
            "extra_hosts": dict(step.extra_hosts),
            "devices": [f"{device.source}:{device.target}:rwm" for device in step.devices],
            "tmpfs": {one.target: ",".join(one.options) for one in step.tmpfs},
            "user": step.user,
            "entrypoint": list(entrypoint) if entrypoint else None,
            "command": list(command) if command else None,
            "healthcheck": _healthcheck(step),
        }
        return {
            "image": step.image,
            "name": f"{self._name}-{number}-{host_name(step.name)}",
            "environment": environment,
            "volumes": binds,
            "working_dir": step.working_dir or self._stage.workspace,
            "labels": self._labels | {"hako.step": step.name},
            **self._networking(step),
            **{name: value for name, value in wanted.items() if value},
        }


@contextlib.contextmanager
def opened(
    url: str, home: Path, logins: Sequence[Login], progress: Callable[[str], None]
) -> Iterator[tuple[DockerBackend, Path]]:
    """A back end for a process's only Stage, and the folder of its run."""
    with runfolder.RunFolder(home) as folder:
        backend = DockerBackend(url, home, folder, logins=logins, progress=progress)
        try:
            yield backend, folder.path
        finally:
            backend.close()


def _healthcheck(step: StepSpec) -> Healthcheck:
    """The step's own; one of the image means nothing to a pipeline."""
    check = step.healthcheck
    if check is None:
        return Healthcheck(test=["NONE"])
    return Healthcheck(
        test=["CMD-SHELL" if check.shell else "CMD", *check.command],
        interval=int(check.interval * _NANO),
        timeout=int(check.timeout * _NANO),
        start_period=int(step.wait * _NANO),
    )


def _remove(thing: Any, **options: Any) -> None:
    with contextlib.suppress(DockerException, RequestException):  # gone already, or for `reclaim`
        thing.remove(**options)


@contextlib.contextmanager
def converted() -> Iterator[None]:
    """Errors of the daemon, and of the way to it, as the runner's."""
    try:
        yield
    except APIError as error:
        raise BackendError(" ".join(str(error.explanation or error).split())) from error
    except (DockerException, RequestException, OSError) as error:
        raise BackendError(
            f"docker does not answer: {' '.join(str(error).split())}", hint="is DOCKER_HOST right?"
        ) from error
