"""Options of docker's that name nothing of ours: what each asks for is so anyway, or cannot be had.

A table each, so that `run` and `create`, and `build`, understand every line that docker understands, and say about the
rest what stands in its way. Pure.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, UsageError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments


class Foreign(NamedTuple):
    """An option by its long name. `accepted` are the values that ask for what is so anyway; `reason` says why others
    are refused, and `hint` what to do. A switch has no `value`.
    """

    name: str
    value: str
    accepted: tuple[str, ...]
    reason: str
    hint: str = ""

    @property
    def option(self) -> Option:
        """As the grammar has it."""
        short = {"quiet": ("-q",), "memory": ("-m",), "cpu-shares": ("-c",)}.get(self.name, ())
        help_ = (
            f"for docker's sake: {', '.join(self.accepted)}" if self.value and self.accepted else "for docker's sake"
        )
        return Option((*short, f"--{self.name}"), help_ if self.accepted else self.reason, self.value, many=True)


def _platforms() -> tuple[str, ...]:
    machine = os.uname().machine
    names = {"x86_64": ("amd64",), "aarch64": ("arm64", "arm64/v8")}.get(machine, (machine,))
    return (*(f"linux/{name}" for name in names), "linux")


_WINDOWS = "only on Windows"
RUN = (
    Foreign("quiet", "", ("true", "false"), ""),
    Foreign("disable-content-trust", "", ("true",), "images are not signed here", "leave it out"),
    Foreign("platform", "PLATFORM", _platforms(), "only programs of this machine's processor run here"),
    Foreign("isolation", "KIND", ("", "default"), _WINDOWS),
    Foreign("volume-driver", "DRIVER", ("local",), "volumes are directories of the engine's"),
    Foreign("gpus", "DEVICES", (), "it takes a vendor's tools, which the engine does not call", "pass nodes: --device"),
    Foreign("runtime", "RUNTIME", (), "the engine starts containers itself", "leave it out"),
    Foreign("cgroup-parent", "GROUP", (), "the engine's containers are in a group of its own", "leave it out"),
    Foreign("storage-opt", "OPTION", (), "a container's files are not limited in size", "use a tmpfs with size=…"),
    Foreign("use-api-socket", "", ("false",), "there is no daemon whose socket could be lent", "leave it out"),
    Foreign("link-local-ip", "ADDRESS", (), "the kernel gives IPv6 ones, nobody others", "leave it out"),
    Foreign("kernel-memory", "BYTES", (), "the kernel has no such limit any more", "use --memory"),
    Foreign("cpu-rt-period", "MICROSECONDS", ("0",), "real-time scheduling is not given away", "leave it out"),
    Foreign("cpu-rt-runtime", "MICROSECONDS", ("0",), "real-time scheduling is not given away", "leave it out"),
    Foreign("cpu-count", "NUMBER", (), _WINDOWS, "use --cpus"),
    Foreign("cpu-percent", "NUMBER", (), _WINDOWS, "use --cpus"),
    Foreign("io-maxbandwidth", "BYTES", (), _WINDOWS, "use --device-read-bps and --device-write-bps"),
    Foreign("io-maxiops", "NUMBER", (), _WINDOWS, "use --device-read-iops and --device-write-iops"),
)
_WHOLE = "a RUN has what the host has"
BUILD = (
    Foreign("load", "", ("true", "false"), ""),
    Foreign("rm", "", ("true", "false"), ""),
    Foreign("force-rm", "", ("true", "false"), ""),
    Foreign("compress", "", ("true", "false"), ""),
    Foreign("builder", "NAME", ("", "default"), "there is one builder, this one", "leave it out"),
    Foreign("disable-content-trust", "", ("true",), "images are not signed here", "leave it out"),
    Foreign("isolation", "KIND", ("", "default"), _WINDOWS),
    Foreign("cgroup-parent", "GROUP", (), "the engine's containers are in a group of its own", "leave it out"),
    Foreign("security-opt", "OPTION", (), "RUN has the engine's rules", "--allow security.insecure takes them away"),
    Foreign("memory", "BYTES", ("0",), _WHOLE, "leave it out"),
    Foreign("memory-swap", "BYTES", ("0",), _WHOLE, "leave it out"),
    Foreign("cpu-period", "MICROSECONDS", ("0",), _WHOLE, "leave it out"),
    Foreign("cpu-quota", "MICROSECONDS", ("0",), _WHOLE, "leave it out"),
    Foreign("cpu-shares", "NUMBER", ("0",), _WHOLE, "leave it out"),
    Foreign("cpuset-cpus", "CPUS", ("",), _WHOLE, "leave it out"),
    Foreign("cpuset-mems", "NODES", ("",), _WHOLE, "leave it out"),
)
OPTIONS = tuple(one.option for one in RUN)


def check(arguments: Arguments, table: tuple[Foreign, ...] = RUN) -> None:
    """Raise UsageError for what cannot be had."""
    for one in table:
        for text in arguments.texts(one.name):
            if text not in one.accepted:
                value = f" {text}" if one.value else ""
                raise UsageError(f"--{one.name}{value} cannot be had: {one.reason}", hint=one.hint)
