"""The options that describe a container, shared by `run` and `create`, and the `ContainerSpec` they make. Pure but for
reading a seccomp profile's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli import docker_options, health_options, limits, log_options, network_options, settings, values
from sandbox.cli.option_files import entries, read
from sandbox.cli.options import Option, UsageError
from sandbox.runtime.spec import ContainerSpec, LogDriver, Resources, Security

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox.cli.options import Arguments
    from sandbox.runtime.spec import Mount

_WITHOUT_MEANING = ("apparmor=", "label=", "label:", "systempaths=")  # of Linux security modules that are not used here

OPTIONS = (
    *limits.OPTIONS,
    *settings.OPTIONS,
    *health_options.OPTIONS,
    Option(("-e", "--env"), "set an environment variable; a NAME alone takes it from here", "NAME[=VALUE]", many=True),
    Option(("--env-file",), "a file of such variables, one a line", "FILE", many=True),
    Option(("-v", "--volume"), "mount a host's path or a named volume", "[SOURCE:]TARGET[:ro]", many=True),
    Option(("--volumes-from",), "mount what another container mounts", "CONTAINER[:ro]", many=True),
    Option(("--mount",), "mount, in docker's long form", "type=bind,source=…,target=…", many=True),
    Option(("--tmpfs",), "mount an empty file system in memory", "TARGET[:size=64m]", many=True),
    Option(("-w", "--workdir"), "working directory in the container", "PATH"),
    Option(("-u", "--user"), "user, and group, by name or number", "USER[:GROUP]"),
    Option(("--name",), "name of the container", "NAME"),
    Option(("-h", "--hostname"), "host name in the container", "NAME"),
    Option(("--entrypoint",), "command before the arguments, instead of the image's", "COMMAND"),
    Option(("-i", "--interactive"), "keep standard input open"),
    Option(("-t", "--tty"), "give it a terminal"),
    Option(("-a", "--attach"), "only these of stdin, stdout and stderr are ours (all)", "STREAM", many=True),
    Option(("--rm",), "remove it when it has ended"),
    *network_options.OPTIONS,
    Option(("--shm-size",), "size of /dev/shm (64m)", "BYTES[k|m|g]"),
    Option(("--read-only",), "make the root file system read-only"),
    Option(("--privileged",), "all capabilities, no seccomp filter, no masked paths; still a user namespace"),
    Option(("--cap-add",), "add a capability", "NAME", many=True),
    Option(("--cap-drop",), "drop a capability, or ALL", "NAME", many=True),
    Option(
        ("--security-opt",),
        "no-new-privileges=false, seccomp=unconfined, seccomp=FILE (a profile in docker's JSON)",
        "OPTION",
        many=True,
    ),
    Option(("-l", "--label"), "a label", "NAME[=VALUE]", many=True),
    Option(("--label-file",), "a file of labels, one a line", "FILE", many=True),
    Option(("--annotation",), "a note that `inspect` shows", "NAME=VALUE", many=True),
    Option(("--cidfile",), "write the container's id to a file, which must not be there", "FILE"),
    Option(("--stop-signal",), "signal that asks it to end", "SIGNAL"),
    Option(("--stop-timeout",), "seconds that `stop` waits before it kills (10)", "SECONDS"),
    log_options.OPTION,
    Option(("--log-driver",), "local, or none to keep no output", "DRIVER"),
    *docker_options.OPTIONS,
    Option(("--pull",), "when the image is fetched: missing (where it is not here), always or never", "WHEN"),
)


def container_spec(arguments: Arguments, ours: Mapping[str, str], resolve: Callable[[str], str] = str) -> ContainerSpec:
    """The container of a line; `ours` is this process's environment, `resolve` makes a relative path absolute.

    Raises UsageError.
    """
    image, *command = arguments.operands
    if not image:
        raise UsageError("the name of the image is empty")
    docker_options.check(arguments)
    timeout = arguments.number("stop-timeout")
    return ContainerSpec(
        image=image,
        name=arguments.text("name"),
        entrypoint=_entrypoint(arguments),
        command=tuple(command) or None,
        environment=values.environment(entries(arguments, "env-file"), "--env-file", ours)
        | values.environment(arguments.texts("env"), "--env", ours),
        working_dir=arguments.text("workdir"),
        user=arguments.text("user"),
        hostname=arguments.text("hostname"),
        terminal=arguments.flag("tty"),
        open_stdin=arguments.flag("interactive"),
        auto_remove=arguments.flag("rm"),
        mounts=_mounts(arguments, resolve),
        read_only=arguments.flag("read-only"),
        shm_size=values.size(arguments.text("shm-size", "64m"), "--shm-size"),
        labels=values.labels(entries(arguments, "label-file"), "--label-file")
        | values.labels(arguments.texts("label"), "--label"),
        annotations=values.labels(arguments.texts("annotation"), "--annotation"),
        resources=Resources(**limits.limits(arguments)),
        restart=_restart(arguments),
        healthcheck=health_options.healthcheck(arguments),
        **settings.settings(arguments, resolve),
        security=_security(arguments),
        stop_signal=_stop_signal(arguments),
        stop_timeout=10 if timeout is None else timeout,
        log_options=log_options.log_options(arguments),
        log_driver=LogDriver(_choice(arguments, "log-driver", (LogDriver.LOCAL, LogDriver.NONE))),
        **network_options.fields(arguments),
    )


def attached(arguments: Arguments) -> frozenset[str]:
    """The streams that are this process's; all where the line names none. Raises UsageError."""
    every = frozenset(("stdin", "stdout", "stderr"))
    named = frozenset(text.lower() for text in arguments.texts("attach"))
    if not named <= every:
        raise UsageError(f"--attach {', '.join(sorted(named - every))} is unknown", hint="stdin, stdout or stderr")
    if named and arguments.flag("detach"):
        raise UsageError("--attach and --detach contradict each other", hint="leave one out")
    return named or every


def pull(arguments: Arguments) -> str:
    """When the image is fetched."""
    return _choice(arguments, "pull", ("missing", "always", "never"))


def _choice(arguments: Arguments, key: str, choices: Sequence[str]) -> str:
    text = arguments.text(key, choices[0])
    if text not in choices:
        raise UsageError(f"--{key} {text!r} is unknown", hint=f"one of: {', '.join(choices)}")
    return text


def _entrypoint(arguments: Arguments) -> tuple[str, ...] | None:
    """One word, as docker's; an empty one takes the image's away."""
    if not arguments.given("entrypoint"):
        return None
    word = arguments.text("entrypoint")
    return (word,) if word else ()


def _restart(arguments: Arguments) -> str:
    policy = limits.restart(arguments) or "no"
    if policy != "no" and arguments.flag("rm"):
        raise UsageError("--restart and --rm contradict each other", hint="leave one out")
    return policy


def _mounts(arguments: Arguments, resolve: Callable[[str], str]) -> tuple[Mount, ...]:
    if not any(map(arguments.given, ("volume", "mount", "tmpfs"))):
        return ()
    from sandbox.cli import mount_values  # noqa: PLC0415  (a millisecond that lines without mounts do not need)

    mounts = (
        *(mount_values.volume(text, "--volume", resolve) for text in arguments.texts("volume")),
        *(mount_values.mount(text, "--mount", resolve) for text in arguments.texts("mount")),
        *(mount_values.tmpfs(text, "--tmpfs") for text in arguments.texts("tmpfs")),
    )
    seen: set[str] = set()
    for mount in mounts:
        if mount.target in seen:
            raise UsageError(f"two mounts on {mount.target}", hint="leave one out")
        seen.add(mount.target)
    return mounts


def _security(arguments: Arguments) -> Security:
    seccomp, no_new_privileges = "default", True
    for option in arguments.texts("security-opt"):
        name, separator, value = option.partition("=" if "=" in option else ":")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            no_new_privileges = value != "false"
        elif name == "seccomp" and separator and value:
            seccomp = {"unconfined": value, "builtin": "default"}.get(value) or read(value, "--security-opt seccomp")
        elif not option.startswith(_WITHOUT_MEANING):
            raise UsageError(
                f"--security-opt {option!r} is unknown",
                hint="no-new-privileges=false, seccomp=unconfined or a file",
            )
    return Security(
        privileged=arguments.flag("privileged"),
        capabilities_add=_capabilities(arguments, "cap-add"),
        capabilities_drop=_capabilities(arguments, "cap-drop"),
        no_new_privileges=no_new_privileges,
        seccomp=seccomp,
    )


def _capabilities(arguments: Arguments, key: str) -> tuple[str, ...]:
    names = arguments.texts(key)
    if names:
        from sandbox.kernel.capabilities import select  # noqa: PLC0415  (only to check what few lines have)

        select(names, ())
    return names


def _stop_signal(arguments: Arguments) -> str:
    name = arguments.text("stop-signal")
    if name:
        from sandbox.runtime.signals import signal_number  # noqa: PLC0415  (only to check what few lines have)

        signal_number(name)
    return name
