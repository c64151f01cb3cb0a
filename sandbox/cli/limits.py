"""The options that limit a container, shared by `run`, `create` and `update`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.cli import values
from sandbox.cli.options import Option, UsageError
from sandbox.runtime.spec import DiskRate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.cli.options import Arguments

_LEAST_MEMORY = 6 << 20  # docker's; with less not even a shell starts
UNLIMITED_PIDS = 1 << 22  # the kernel's PID_MAX_LIMIT: as many as there can be
_LEAST_WEIGHT, _GREATEST_WEIGHT = 10, 1000
_POLICIES = ("no", "on-failure", "always", "unless-stopped")

OPTIONS = (
    Option(("-m", "--memory"), "limit of memory", "BYTES[k|m|g]"),
    Option(("--memory-swap",), "limit of memory and swap together; -1 for no limit of swap", "BYTES[k|m|g]"),
    Option(("--memory-reservation",), "memory that it keeps when the host runs short", "BYTES[k|m|g]"),
    Option(("--cpus",), "limit of processors, such as 0.5", "NUMBER"),
    Option(("-c", "--cpu-shares"), "weight against other containers (1024)", "NUMBER"),
    Option(("--cpu-period",), "length of a period in microseconds (100000)", "NUMBER"),
    Option(("--cpu-quota",), "microseconds of processor time in a period", "NUMBER"),
    Option(("--cpuset-cpus",), "processors it may use, such as 0-2,5", "LIST"),
    Option(("--cpuset-mems",), "memory nodes it may use", "LIST"),
    Option(("--pids-limit",), "limit of processes", "NUMBER"),
    Option(("--blkio-weight",), "weight at the disks against other containers, 10 to 1000 (500)", "NUMBER"),
    Option(("--blkio-weight-device",), "such a weight at one disk", "PATH:WEIGHT", many=True),
    Option(("--memory-swappiness",), "how readily its memory is swapped out, 0 to 100 (cgroup v1)", "NUMBER"),
    Option(("--oom-kill-disable",), "out of memory it waits for some, and nothing is ended (cgroup v1)"),
    Option(("--device-read-bps",), "how fast it may read from a disk", "PATH:BYTES[k|m|g]", many=True),
    Option(("--device-write-bps",), "how fast it may write to a disk", "PATH:BYTES[k|m|g]", many=True),
    Option(("--device-read-iops",), "reads from a disk in a second", "PATH:NUMBER", many=True),
    Option(("--device-write-iops",), "writes to a disk in a second", "PATH:NUMBER", many=True),
    Option(("--restart",), "no, on-failure[:TIMES], always or unless-stopped: what follows its end (no)", "POLICY"),
)


def limits(arguments: Arguments) -> dict[str, Any]:
    """The fields of Resources that the line gives."""
    given: dict[str, Any] = {}
    if (cpus := _processors(arguments)) is not None:
        given["cpus"] = cpus or None
    if (shares := arguments.number("cpu-shares")) is not None:
        given["cpu_shares"] = shares or None
    for key in ("cpuset-cpus", "cpuset-mems"):
        if arguments.given(key):
            given[key.replace("-", "_")] = _numbers(arguments.text(key), f"--{key}")
    pids = arguments.number("pids-limit", least=-1)
    if pids is not None:
        given["pids"] = pids if pids > 0 else UNLIMITED_PIDS
    return given | _memory_limits(arguments) | _disks(arguments)


def _memory_limits(arguments: Arguments) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if (memory := _memory(arguments, "memory")) is not None:
        given["memory"] = memory or None
        if memory and memory < _LEAST_MEMORY:
            raise UsageError(f"--memory {arguments.text('memory')!r} is too little", hint="6m at least")
    if arguments.text("memory-swap") == "-1":
        given["memory_swap"] = -1
    elif (swap := _memory(arguments, "memory-swap")) is not None:
        given["memory_swap"] = swap or None
    if (kept := _memory(arguments, "memory-reservation")) is not None:
        given["memory_reservation"] = kept or None
    swappiness = arguments.number("memory-swappiness", least=-1)
    if swappiness is not None and swappiness > 100:
        raise UsageError(f"--memory-swappiness {swappiness} is too much", hint="from 0 to 100; -1 is the host's")
    if swappiness is not None:
        given["swappiness"] = swappiness if swappiness >= 0 else None
    if arguments.flag("oom-kill-disable"):
        given["oom_kill_disable"] = True
    return given


def _disks(arguments: Arguments) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if (weight := arguments.number("blkio-weight", least=0)) is not None:
        if weight and not _LEAST_WEIGHT <= weight <= _GREATEST_WEIGHT:
            raise UsageError(f"--blkio-weight {weight} is not between {_LEAST_WEIGHT} and {_GREATEST_WEIGHT}")
        given["blkio_weight"] = weight or None
    if rates := (*_weights(arguments), *_rates(arguments)):
        given["disk_rates"] = rates
    return given


def _weights(arguments: Arguments) -> Iterator[DiskRate]:
    for text in arguments.texts("blkio-weight-device"):
        path, colon, weight = text.rpartition(":")
        if not colon or not path.startswith("/") or not (weight.isascii() and weight.isdigit()):
            raise UsageError(
                f"--blkio-weight-device {text!r} is not a disk and its weight", hint="such as /dev/sda:300"
            )
        if not _LEAST_WEIGHT <= int(weight) <= _GREATEST_WEIGHT:
            raise UsageError(f"--blkio-weight-device {text!r}: not between {_LEAST_WEIGHT} and {_GREATEST_WEIGHT}")
        yield DiskRate("weight", path, int(weight))


def _rates(arguments: Arguments) -> Iterator[DiskRate]:
    for kind in ("read_bps", "write_bps", "read_iops", "write_iops"):
        key = f"device-{kind.replace('_', '-')}"
        for text in arguments.texts(key):
            path, colon, amount = text.rpartition(":")
            if not colon or not path.startswith("/"):
                raise UsageError(f"--{key} {text!r} is not a disk and its rate", hint="such as /dev/sda:1m")
            rate = values.size(amount, f"--{key}")
            if rate < 1:
                raise UsageError(f"--{key} {text!r}: a rate is 1 at least")
            yield DiskRate(kind, path, rate)


def _memory(arguments: Arguments, key: str) -> int | None:
    return values.size(arguments.text(key), f"--{key}") if arguments.given(key) else None


def _processors(arguments: Arguments) -> float | None:
    period, quota = arguments.number("cpu-period", least=0), arguments.number("cpu-quota", least=-1)
    if arguments.given("cpus"):
        if period or quota:
            raise UsageError("--cpus and --cpu-quota both limit processors", hint="leave one out")
        text = arguments.text("cpus")
        return 0.0 if text.strip("0.") == "" and text[:1] == "0" else values.processors(text, "--cpus")
    if quota is None:
        return None
    return max(quota, 0) / (period or 100_000)


def _numbers(text: str, option: str) -> str:
    """`0-2,5`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (not last or last.isdecimal()) and part.isascii() and not part.endswith("-")):
            raise UsageError(f"{option} {text!r} is not a list of numbers", hint="such as 0-2,5")
    return text


def restart(arguments: Arguments) -> str | None:
    """The restart policy; None where the line has none."""
    if not arguments.given("restart"):
        return None
    text = arguments.text("restart") or "no"
    policy, colon, times = text.partition(":")
    if policy not in _POLICIES or (colon and (policy != "on-failure" or not (times.isascii() and times.isdigit()))):
        raise UsageError(
            f"--restart {text!r} is unknown", hint="one of: no, on-failure, on-failure:TIMES, always, unless-stopped"
        )
    return text
