"""The options of `run` and `create` that set up the kernel around a container's processes: limits of single processes,
kernel parameters, devices, groups. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.cli.options import Option, UsageError
from sandbox.runtime.spec import Device, Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.cli.options import Arguments

OPTIONS = (
    Option(("--ulimit",), "limit of each process, such as nofile=1024:2048", "NAME=SOFT[:HARD]", many=True),
    Option(("--sysctl",), "kernel parameter of its own namespaces", "NAME=VALUE", many=True),
    Option(("--device",), "a device of the host", "PATH[:PATH-INSIDE][:rwm]", many=True),
    Option(("--device-cgroup-rule",), "devices it may use where it finds them", "TYPE MAJOR:MINOR MODE", many=True),
    Option(("--group-add",), "a further group, by name or number", "GROUP", many=True),
    Option(("--oom-score-adj",), "how soon it is killed when memory runs out (-1000 to 1000)", "NUMBER"),
    Option(("--init",), "a first process of the engine's, which passes signals on and buries orphans"),
    Option(("--pid",), "host: see the host's processes; container:NAME: share another's", "NAMESPACE"),
    Option(
        ("--ipc",), "host: its shared memory; shareable, and container:NAME to share it; none: no /dev/shm", "NAMESPACE"
    ),
    Option(("--uts",), "host: its host name", "NAMESPACE"),
    Option(("--cgroupns",), "host: see where its control group is", "NAMESPACE"),
    Option(("--userns",), "host: its ids, so that root in the container is root of the host", "NAMESPACE"),
    Option(("--domainname",), "domain name in the container", "NAME"),
)


def settings(arguments: Arguments, resolve: Callable[[str], str]) -> dict[str, Any]:
    """The fields of ContainerSpec that the line gives."""
    adjustment = arguments.number("oom-score-adj", least=-1000)
    if adjustment is not None and adjustment > 1000:
        raise UsageError(f"--oom-score-adj {adjustment} is too much", hint="from -1000 to 1000")
    return {
        "ulimits": ulimits(arguments.texts("ulimit")),
        "sysctls": dict(map(sysctl, arguments.texts("sysctl"))),
        "devices": tuple(device(text, resolve) for text in arguments.texts("device")),
        "device_rules": tuple(map(_device_rule, arguments.texts("device-cgroup-rule"))),
        "groups": tuple(arguments.texts("group-add")),
        "oom_score": adjustment,
        "init": arguments.flag("init"),
        "domainname": arguments.text("domainname"),
        "shared": shared(arguments),
    }


def shared(arguments: Arguments) -> Shared:
    """Which namespaces of the host's it has. Raises UsageError."""
    hosts = {key: _is_host(arguments, key) for key in ("pid", "ipc", "uts", "cgroupns", "userns")}
    others = {key: _container(arguments, key) for key in ("pid", "ipc")}
    if hosts["uts"] and (arguments.given("hostname") or arguments.given("domainname")):
        raise UsageError("--uts host has the host's own name", hint="leave out --hostname and --domainname")
    if (hosts["pid"] or others["pid"]) and arguments.flag("init"):
        raise UsageError("--init and --pid contradict each other: it is not the first process", hint="leave out --init")
    further = Shared(
        pid_container=others["pid"],
        ipc_container=others["ipc"],
        ipc_shareable=arguments.text("ipc") == "shareable",
        no_memory=arguments.text("ipc") == "none",
    )
    return further._replace(
        pid=hosts["pid"], ipc=hosts["ipc"], uts=hosts["uts"], cgroup=hosts["cgroupns"], user=hosts["userns"]
    )


def _is_host(arguments: Arguments, key: str) -> bool:
    text = arguments.text(key)
    known = ("", "private", "host", *(("shareable", "none") if key == "ipc" else ()))
    if text not in known and not _container(arguments, key):
        others = {"ipc": ", shareable, none or container:NAME", "pid": " or container:NAME"}.get(key, "")
        raise UsageError(
            f"--{key} {text!r} is not supported", hint=f"host, private{others}" if others else "host or private"
        )
    return text == "host"


def _container(arguments: Arguments, key: str) -> str:
    """The other container in `--pid container:NAME` or `--ipc container:NAME`."""
    if key not in ("pid", "ipc"):
        return ""
    prefix, colon, name = arguments.text(key).partition(":")
    return name if colon and prefix == "container" else ""


def _device_rule(text: str) -> str:
    """`c 188:* rmw`, in docker's form."""
    words = text.split(" ")
    numbers = words[1].split(":") if len(words) == 3 else []
    if (
        len(numbers) != 2
        or words[0] not in ("a", "b", "c")
        or not 1 <= len(words[2]) <= 3
        or not set(words[2]) <= set("rwm")
        or not all(number == "*" or (number.isascii() and number.isdigit() and len(number) < 9) for number in numbers)
    ):
        raise UsageError(f"--device-cgroup-rule {text!r} is not TYPE MAJOR:MINOR MODE", hint="such as 'c 188:* rmw'")
    return text


def ulimits(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The limits as they are written, each looked at."""
    if texts:
        from sandbox.kernel.rlimits import parse  # noqa: PLC0415  (only to check what few lines have)

        for text in texts:
            parse(text)
    return texts


def sysctl(text: str) -> tuple[str, str]:
    """(name, value) of a kernel parameter."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--sysctl {text!r} is not NAME=VALUE", hint="such as net.core.somaxconn=1024")
    return name.replace("/", "."), value


def device(text: str, resolve: Callable[[str], str]) -> Device:
    """`/dev/x`, `/dev/x:/dev/y`, `/dev/x:/dev/y:rwm`."""
    source, _, rest = text.partition(":")
    target, _, permissions = rest.partition(":")
    if target and not target.startswith("/"):
        target, permissions = "", target
    if not source.startswith(("/", ".")):
        raise UsageError(f"--device {text!r} is not a path of the host", hint="such as /dev/fuse")
    if not set(permissions) <= set("rwm"):
        raise UsageError(f"--device {text!r}: {permissions!r} are no permissions", hint="of r, w and m, such as rw")
    source = resolve(source)
    return Device(source=source, target=target or source, permissions=permissions or "rwm")
