"""Mounts as people write them: `-v`, `--mount`, `--tmpfs`. Pure.

Docker's notations (docker/cli, opts/mount.go and loader/volume); each function raises UsageError that names the option
and the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.cli.options import UsageError
from sandbox.cli.values import size
from sandbox.runtime.spec import Mount, MountKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_PROPAGATIONS = ("private", "rprivate", "slave", "rslave")
_SHARED = ("shared", "rshared")
_IGNORED = frozenset(
    ("rw", "z", "Z", "cached", "delegated", "consistent", "copy")
)  # the default, SELinux, Docker Desktop
_TMPFS_WITH_VALUE = ("mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge")
_TMPFS_SWITCHES = ("exec", "suid", "dev")
_TMPFS_IGNORED = frozenset(("rw", "noexec", "nosuid", "nodev", "relatime", "async"))
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "bind-nonrecursive": "flat"}
_FIELDS = {
    "bind": ("bind-propagation", "bind-recursive", "flat", "consistency"),
    "volume": ("volume-nocopy", "volume-subpath", "volume-label", "volume-driver"),
    "tmpfs": ("tmpfs-size", "tmpfs-mode"),
}
_RECURSION = ("enabled", "disabled", "writable", "readonly")
_TRUE = ("true", "1", "")


def volume(text: str, option: str, resolve: Callable[[str], str]) -> Mount:
    """`SOURCE:TARGET[:OPTIONS]`, where SOURCE is a path of the host (absolute, or relative with a leading `.`) or a
    volume's name; `TARGET` alone is a volume without a name.

    Options are ro, rw, nocopy and propagation modes. `resolve` makes a relative path absolute.
    """
    what = f"{option} {text!r}"
    source, colon, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not colon:
        return _checked(Mount(kind=MountKind.VOLUME, target=text), what, resolve)
    if not source or not target:
        raise UsageError(f"{what} is not SOURCE:TARGET[:ro]")
    kind = MountKind.BIND if source[0] in "/." else MountKind.VOLUME
    made = Mount(kind=kind, source=source, target=target)
    for word in options.split(",") if options else ():
        if word == "ro":
            made = made._replace(read_only=True)
        elif word == "nocopy":
            made = made._replace(copy=False)
        elif word in (*_PROPAGATIONS, *_SHARED):
            made = made._replace(propagation=_propagation(word, what))
        elif word not in _IGNORED:
            raise UsageError(f"{what}: unknown mode {word!r}", hint="ro, rw, nocopy, rslave")
    return _checked(made, what, resolve)


def mount(text: str, option: str, resolve: Callable[[str], str]) -> Mount:
    """Docker's long form: `type=bind,source=/a,target=/b,readonly`, `type=volume,…`, `type=tmpfs,target=/t`."""
    what = f"{option} {text!r}"
    fields: dict[str, str] = {}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        fields[_ALIASES.get(key, key)] = value if equals else "true"
    kind = fields.pop("type", "volume")
    if kind not in _FIELDS:
        raise UsageError(f"{what}: unknown type {kind!r}", hint="bind, volume or tmpfs")
    known = ("source", "target", "readonly", *_FIELDS[kind])
    for key in fields:
        if key not in known:
            raise UsageError(f"{what}: unknown field {key!r}", hint=", ".join(("type", *known)))
    if not fields.get("target"):
        raise UsageError(f"{what} has no target", hint="add target=/path")
    source = fields.get("source", "")
    if source and kind == MountKind.TMPFS:
        raise UsageError(f"{what}: tmpfs has no source")
    if not source and kind == MountKind.BIND:
        raise UsageError(f"{what}: bind needs a source")
    read_only = _switch(fields, "readonly", what)
    recursion = _recursion(fields, read_only, what)
    made = Mount(
        kind=MountKind(kind),
        source=source,
        target=fields["target"],
        read_only=read_only,
        size=size(fields["tmpfs-size"], f"{option} tmpfs-size") if "tmpfs-size" in fields else None,
        copy=not _switch(fields, "volume-nocopy", what),
        recursive=not _switch(fields, "flat", what) and recursion != "disabled",
        writable_below=recursion == "writable",
        subpath=_subpath(fields, what),
        propagation=_propagation(fields.get("bind-propagation", ""), what),
        options=(f"mode={_mode(fields['tmpfs-mode'], what)}",) if "tmpfs-mode" in fields else (),
    )
    return _checked(made, what, resolve)


def tmpfs(text: str, option: str) -> Mount:
    """`/path[:size=64m,mode=1770,uid=5,exec,ro]`."""
    what = f"{option} {text!r}"
    target, _, options = text.partition(":")
    made = Mount(kind=MountKind.TMPFS, target=target)
    kept: list[str] = []
    for word in options.split(",") if options else ():
        key, _, value = word.partition("=")
        if key == "size":
            made = made._replace(size=size(value, f"{option} size"))
        elif word == "ro":
            made = made._replace(read_only=True)
        elif key == "mode":
            kept.append(f"mode={_mode(value, what)}")
        elif word in _TMPFS_SWITCHES or (key in _TMPFS_WITH_VALUE and value.isalnum()):
            kept.append(word)
        elif word not in _TMPFS_IGNORED:
            raise UsageError(f"{what}: unknown option {word!r}", hint="size=64m, mode=1777, uid=0, gid=0, exec, ro")
    return _checked(made._replace(options=tuple(kept)), what, str)


def _switch(fields: Mapping[str, str], key: str, what: str) -> bool:
    value = fields.get(key, "false")
    if value not in (*_TRUE, "false", "0"):
        raise UsageError(f"{what}: {key} is true or false, not {value!r}")
    return value in _TRUE


def _recursion(fields: Mapping[str, str], read_only: bool, what: str) -> str:
    """Of bind-recursive. That a read-only bind is so with all mounts below it (`readonly`) is the rule here."""
    word = fields.get("bind-recursive", "enabled")
    word = {"true": "enabled", "false": "disabled", "1": "enabled", "0": "disabled"}.get(word, word)
    if word not in _RECURSION:
        raise UsageError(f"{what}: unknown bind-recursive {word!r}", hint=", ".join(_RECURSION))
    if word in ("writable", "readonly") and not read_only:
        raise UsageError(f"{what}: bind-recursive={word} is about read-only mounts", hint="add readonly")
    return word


def _subpath(fields: Mapping[str, str], what: str) -> str:
    path = fields.get("volume-subpath", "")
    if path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"{what}: volume-subpath {path!r} leads out of the volume", hint="name a path within it")
    return path


def _mode(text: str, what: str) -> str:
    if not (text and len(text) <= 5 and set(text) <= set("01234567")):
        raise UsageError(f"{what}: mode {text!r} is not octal", hint="such as 1777")
    return text


def _propagation(word: str, what: str) -> str:
    if word in _SHARED:
        raise UsageError(
            f"{what}: {word} is not supported",
            hint="a container's mounts never reach the host; with rslave the host's reach the container",
        )
    if word and word not in _PROPAGATIONS:
        raise UsageError(f"{what}: unknown propagation {word!r}", hint=", ".join(_PROPAGATIONS))
    return "slave" if word.endswith("slave") else ""


def _checked(made: Mount, what: str, resolve: Callable[[str], str]) -> Mount:
    if not made.target.startswith("/"):
        raise UsageError(f"{what}: the path in the container is not absolute", hint="begin it with /")
    if made.target.strip("/") == "" or ".." in made.target.split("/"):
        raise UsageError(f"{what}: nothing can be mounted at {made.target!r}", hint="name a directory below /")
    source = made.source
    if made.kind is MountKind.BIND:
        return made._replace(source=resolve(source))
    if made.kind is MountKind.VOLUME and source and (source[0] in "_.-" or not _NAME.issuperset(source)):
        raise UsageError(f"{what}: {source!r} is no name of a volume", hint="for a host's path begin it with / or ./")
    return made
