"""The back end on our own engine (`sandbox.runtime.engine`).

A Stage gets a network `ci-<8 hex>`, in which services and steps find each other by name; the workspace, temporary
volumes and the script are bind mounts from the run's folder. A step's output goes by one pipe straight to the runner:
the engine keeps no log of it. Where the host lacks what networks of an ordinary user take, there is only its own:
every name of the Stage then means 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from typing import TYPE_CHECKING

from ci.pipeline import outputs
from ci.pipeline.script import script_arguments
from runners import runfolder
from runners.backend import Kept
from runners.enginehandle import LOCAL, EngineHandle, converted, remove_container
from runners.names import host_name
from sandbox.errors import NotFoundError, SandboxError
from sandbox.image.config import Healthcheck
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.kernel.paths import remove_path
from sandbox.network.records import PortRequest
from sandbox.runtime.spec import (
    ContainerSpec,
    Device,
    Dns,
    LogDriver,
    Mount,
    MountKind,
    Resources,
    Security,
    Stdio,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ci.pipeline.spec import Build, StageSpec, StepSpec, VolumeMount
    from runners.backend import Container, HostMount
    from runners.imagebuild import BuildHandle
    from runners.runfolder import RunFolder
    from sandbox.image.sources import Sources
    from sandbox.runtime.engine import Engine

RUN_LABEL = "hako.run"
STAGE_LABEL = "hako.stage"
STEP_LABEL = "hako.step"
NETWORK_PREFIX = "ci-"
BUILT = "hako-built"  # the same of those that a run has built for itself
KEPT = "hako-kept"  # the name before the / of images of what failed steps left
OUTPUT = "/run/hako/output"  # and leaves its outputs
SCRIPT = "/run/hako/script"  # where a container finds its script
_NANOSECONDS = 1e9
_NO_HEALTHCHECK = Healthcheck(test=("NONE",))
_PIPE_SIZE = 1 << 20  # a step that prints a lot runs ahead instead of waiting for the loop


class EngineBackend:
    """Makes containers in `engine` for the run that `folder` belongs to. `progress` gets lines about image work.

    `network` is used by all Stages in place of one of their own: none, host, or the name of one that is there.
    With `keeps` containers can be kept when they have ended, with `publishes` services' ports are this host's, too.
    """

    def __init__(
        self,
        engine: Engine,
        folder: RunFolder,
        *,
        sources: Callable[[], Sources],
        progress: Callable[[str], None] = lambda _: None,
        network: str = "",
        keeps: bool = False,
        publishes: bool = False,
    ) -> None:
        self.engine = engine
        self.keeps = keeps
        self.publishes = publishes
        self.network = network
        self.folder = folder
        self._sources = sources
        self._progress = progress
        self._lacking = "" if in_initial_namespace() else engine.networks.lacking()  # for root it is an error
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What this host lacks, each sentence once."""
        return tuple(self._warnings)

    @property
    def has_networks(self) -> bool:
        """Whether Stages get a network of their own."""
        return not self._lacking and self.network not in {"host", "none"}

    def warn(self, text: str) -> None:
        """Remember a sentence."""
        self._warnings[text] = None

    def reclaim(self) -> None:
        """End and remove what runs without a living process left: containers, networks, folders, half-made images."""
        runfolder.reclaim(self.engine.home, before=lambda name: _remove_run(self.engine, name))
        self.engine.reclaim()
        if any((self.engine.home / "tmp").glob("image-*")):  # else the store need not be locked at every start
            self.engine.images.reclaim()

    def missing_images(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those that are not in the store."""
        return tuple(dict.fromkeys(name for name in names if self.engine.images.find(name) is None))

    def fetch_image(self, name: str) -> None:
        """Pull the image, or make it of the distribution's packages, as the sources say."""
        from sandbox.registry.client.fetching import fetch  # noqa: PLC0415  (images are here mostly)
        from sandbox.registry.client.progress import Lines  # noqa: PLC0415

        try:
            fetch(self.engine.images, name, self._sources().origin(name), Lines(self._progress))
        except (SandboxError, OSError) as error:
            raise converted(error) from error

    def prepare(self, stage: StageSpec, *, workspace: Path, mounts: tuple[HostMount, ...] = ()) -> EngineStage:
        """The Stage's network and volumes."""
        return EngineStage(self, stage, workspace, mounts)


class EngineStage:
    """One Stage on the engine."""

    def __init__(
        self, backend: EngineBackend, stage: StageSpec, workspace: Path, mounts: tuple[HostMount, ...]
    ) -> None:
        self._backend = backend
        self._stage = stage
        self._workspace = workspace
        self._mounts = mounts
        self._handles: list[EngineHandle | BuildHandle] = []
        self._images: dict[str, str] = {}  # that steps have built, by their names
        self._names: set[str] = set()
        self.name = NETWORK_PREFIX + os.urandom(4).hex()
        self._path = backend.folder.path / self.name
        self._network = backend.network or "host"
        self._is_ours = False
        try:
            self._path.mkdir(mode=0o700)
            for volume in stage.volumes:
                (self._path / "volumes" / volume).mkdir(mode=0o755, parents=True)
            if backend.has_networks and not backend.network:
                backend.engine.networks.create(self.name, labels={RUN_LABEL: backend.folder.name})
                self._network = self.name
                self._is_ours = True
        except (SandboxError, OSError) as error:
            self.finish()
            raise converted(error) from error

    def start(self, container: Container) -> EngineHandle | BuildHandle:
        """Start one container, or one build, with its output on a pipe."""
        if container.step.build is not None:
            return self._build(container, container.step.build)
        try:
            spec = self._spec(container)
            output = self._output()
            reading, writing = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise converted(error) from error
        try:
            _enlarge(writing)
            identifier = self._backend.engine.create(spec)
            try:
                process = self._backend.engine.start(identifier, Stdio(stdout=writing, stderr=writing))
            except BaseException:
                remove_container(self._backend.engine, identifier)
                raise
            address = self._address(identifier)
            published = self._published(identifier, container.step) if container.service else {}
        except (SandboxError, OSError) as error:
            os.close(reading)
            raise converted(error) from error
        finally:
            os.close(writing)
        image = f"{KEPT}/{self._backend.folder.name}-{len(self._handles)}-{container.step.name.lower()}"
        for warning in process.warnings:
            self._backend.warn(warning)
        handle = EngineHandle(
            self._backend.engine,
            identifier,
            process,
            reading,
            stays=self._backend.keeps,
            outputs=output,
            kept=Kept(image=image, network=self._network),
            secrets=container.step.secret_variables,
            address=address,
            published=published,
        )
        self._handles.append(handle)
        return handle

    def image_id(self, step: StepSpec) -> str:
        """The id of the image in the store."""
        image = self._backend.engine.images.find(self._images.get(step.built_by) or step.image)
        return image.id if image is not None else ""

    def _build(self, container: Container, build: Build) -> BuildHandle:
        from runners import imagebuild  # noqa: PLC0415  (few Stages build images)

        step, values = container.step, container.environment
        secrets = {name: values[variable] for variable, name in step.secrets.items()}
        secrets |= {variable: values[variable] for variable in step.secrets}
        engine = self._backend.engine
        image = f"{BUILT}/{self._backend.folder.name}-{self.name}-{len(self._images)}"
        network = self._backend.network if self._backend.network in {"host", "none"} else "default"
        try:
            handle = imagebuild.begin(build, self._workspace, image, home=engine.home, network=network, secrets=secrets)
        except OSError as error:
            raise converted(error) from error
        self._images[step.name] = image
        self._handles.append(handle)
        return handle

    def finish(self) -> None:
        """Containers, network, volumes, images; what fails stays for `reclaim`."""
        for handle in self._handles:
            handle.close()
        for image in self._images.values():
            _remove_image(self._backend.engine, image)
        if self._images and any(getattr(handle, "killed", False) for handle in self._handles):
            _remove_abandoned(self._backend.engine)
        if self._is_ours:
            _remove_network(self._backend.engine, self.name)
            self._is_ours = False
        _remove_folder(self._path)

    def _spec(self, container: Container) -> ContainerSpec:
        step = container.step
        named = self._backend.has_networks and not step.network_mode
        mounts = [
            Mount(kind=MountKind.BIND, source=str(self._workspace), target=self._stage.workspace),
            *(
                Mount(kind=MountKind.BIND, source=mount.source, target=mount.target, read_only=mount.read_only)
                for mount in (*self._mounts, *container.mounts)
            ),
            *(self._volume(volume) for volume in step.volumes),
            *(Mount(kind=MountKind.TMPFS, target=one.target, options=one.options) for one in step.tmpfs),
        ]
        entrypoint = step.entrypoint or None
        command: tuple[str, ...] | None = None
        if container.script:
            path = self._path / f"script-{len(self._handles)}"
            path.write_text(container.script, "utf-8", "surrogateescape")
            path.chmod(0o444)
            mounts.append(Mount(kind=MountKind.BIND, source=str(path), target=SCRIPT, read_only=True))
            entrypoint, command = script_arguments(step.shell, SCRIPT), ()
        elif step.entrypoint or step.arguments:
            command = step.arguments
        environment = dict(container.environment)
        if not container.service:
            output = self._output()
            output.touch()
            output.chmod(0o666)
            mounts.append(Mount(kind=MountKind.BIND, source=str(output), target=OUTPUT))
            environment[outputs.VARIABLE] = OUTPUT
        return ContainerSpec(
            image=self._images.get(step.built_by) or step.image,
            name=self._container_name(step.name),
            entrypoint=entrypoint,
            command=command,
            environment=environment,
            working_dir=step.working_dir or self._stage.workspace,
            user=step.user,
            hostname=host_name(step.name) if named else "",
            auto_remove=not self._backend.keeps,
            network=step.network_mode or self._network,
            aliases=(host_name(step.name),) if named else (),
            extra_hosts=(*step.extra_hosts, *(() if self._backend.has_networks else self._names_of_this_host())),
            dns=Dns(servers=step.dns, search=step.dns_search),
            mounts=tuple(mounts),
            ports=self._ports(step) if container.service else (),
            labels={
                RUN_LABEL: self._backend.folder.name,
                STAGE_LABEL: self._stage.name,
                STEP_LABEL: step.name,
            },
            resources=Resources(memory=step.memory, cpus=step.cpus, memory_swap=step.memory_swap),
            shm_size=step.shm_size or ContainerSpec(image="").shm_size,
            devices=tuple(Device(source=device.source, target=device.target) for device in step.devices),
            security=Security(privileged=step.privileged),
            log_driver=LogDriver.NONE,
            healthcheck=_healthcheck(step),
        )

    def _ports(self, step: StepSpec) -> tuple[PortRequest, ...]:
        """Each at the same port of 127.0.0.1, or at any where that one is taken."""
        if not self._backend.publishes or not self._backend.has_networks:
            return ()
        return tuple(
            PortRequest(container=port, address=LOCAL, first=free, last=free)
            for port in step.ports
            for free in (port if _is_free(port) else 0,)
        )

    def _published(self, identifier: str, step: StepSpec) -> dict[int, str]:
        """Where this host reaches a service."""
        if not self._backend.publishes:
            return {}
        if not self._backend.has_networks:
            return {port: f"{LOCAL}:{port}" for port in step.ports}
        try:
            attachments = self._backend.engine.state(identifier).attachments
        except NotFoundError:
            return {}
        return {one.container: f"{one.address}:{one.port}" for place in attachments for one in place.ports}

    def _address(self, identifier: str) -> str:
        if not self._backend.has_networks:
            return LOCAL
        try:
            return self._backend.engine.state(identifier).address.partition("/")[0]
        except NotFoundError:  # it has ended, and is removed
            return ""

    def _volume(self, volume: VolumeMount) -> Mount:
        source = volume.host or str(self._path / "volumes" / volume.name)
        return Mount(kind=MountKind.BIND, source=source, target=volume.target, read_only=volume.read_only)

    def _output(self) -> Path:
        """Where the next container, of a step, leaves its outputs."""
        return self._path / f"output-{len(self._handles)}"

    def _container_name(self, step: str) -> str:
        """`ci-<8 hex>-<step>`, made different where two names of the pipeline become one as host names."""
        name = f"{self.name}-{host_name(step)}"
        while name in self._names:
            name += "-"
        self._names.add(name)
        return name

    def _names_of_this_host(self) -> tuple[tuple[str, str], ...]:
        every: Sequence[StepSpec] = (*self._stage.services, *self._stage.steps)
        return tuple((host_name(step.name), LOCAL) for step in every)


def _remove_run(engine: Engine, run: str) -> None:
    """Containers, networks and built images of a run whose process is dead."""
    for config, _ in engine.containers(all=True):
        if config.spec.labels.get(RUN_LABEL) == run:
            remove_container(engine, config.id)
    for network in engine.networks.list():
        if network.labels.get(RUN_LABEL) == run:
            _remove_network(engine, network.name)
    for image in engine.images.list():
        for name in image.references:
            if name.startswith(f"{BUILT}/{run}-"):
                _remove_image(engine, name)


def _remove_image(engine: Engine, name: str) -> None:
    with contextlib.suppress(SandboxError, OSError):  # its build has failed
        engine.images.remove(name)


def _remove_abandoned(engine: Engine) -> None:
    """What a build that was killed has left running."""
    from sandbox.builder.running import abandoned  # noqa: PLC0415

    engine.images.reclaim_if_any()
    for identifier in abandoned(engine):
        remove_container(engine, identifier)


def _remove_network(engine: Engine, name: str) -> None:
    with contextlib.suppress(SandboxError, OSError):
        engine.networks.remove(name)


def _remove_folder(path: Path) -> None:
    with contextlib.suppress(OSError):
        remove_path(path)


def _enlarge(pipe: int) -> None:
    with contextlib.suppress(OSError):  # an ordinary user has a limit (/proc/sys/fs/pipe-user-pages-soft)
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def _is_free(port: int) -> bool:
    """Whether nobody listens at a port of 127.0.0.1 now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOCAL, port))
        except OSError:
            return False
    return True


def _healthcheck(step: StepSpec) -> Healthcheck | None:
    """The step's own, asked often until it passes; one of the image means nothing to a pipeline and is left out."""
    check = step.healthcheck
    if check is None:
        return _NO_HEALTHCHECK
    return Healthcheck(
        test=("CMD-SHELL" if check.shell else "CMD", *check.command),
        start_period=int(step.wait * _NANOSECONDS),
        start_interval=int(check.interval * _NANOSECONDS),
        timeout=int(check.timeout * _NANOSECONDS),
    )
