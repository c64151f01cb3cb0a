"""The values that are more than strings: durations, sizes, ports, paths, names, image references.

Each function takes what was written, after substitution, and returns the typed value or raises BadValue with a message
for the user. Used twice: by lint, to show every mistake at its place, and by compile, which has the last word once
`${…}` is known.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from ci.pipeline.failure import OnFailure
from ci.pipeline.glob import Glob, GlobError
from ci.pipeline.script import INTERPRETERS, SHELLS, runs_scripts

if TYPE_CHECKING:
    from collections.abc import Callable


class BadValue(ValueError):
    """`message` says what is wrong with it, `hint` what to write; `code` is the diagnostic's."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_CPUS = re.compile(r"\d{1,4}(?:\.\d{1,9})?|\.\d{1,9}", re.ASCII)
_STEP_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_SERVICE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}|\d{1,10}", re.IGNORECASE | re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
HOST_GATEWAY = "host-gateway"  # in the place of an address: the host, as containers reach it (docker, podman)
_OPTION = re.compile(
    r"(?:size|mode|uid|gid|nr_inodes)=[0-9]{1,15}[kmg%]?|exec|noexec|suid|nosuid|dev|nodev|rw|ro", re.ASCII
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?")

# distribution/reference: [domain[:port]/]path[:tag][@digest]; a path's parts are lower case, with single separators
# between the words.
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?{_WORD}(?:/{_WORD})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)

# What a lenient dialect's own parser, one of YAML 1.1, takes for true and for false.
FLAGS = {
    "": False,  # what a variable without a value leaves
    **dict.fromkeys(("true", "yes", "y", "on"), True),
    **dict.fromkeys(("false", "no", "n", "off"), False),
}
PULL = ("always", "if-not-exists", "never")

MEMORY_MINIMUM = 6 * 1024 * 1024  # Docker's own minimum; no process starts with less
IMAGE_LIMIT = 512
RETRIES_LIMIT = 10
FREE_NAME_LIMIT = 200
IDENTITY_LIMIT = 2**31 - 1  # a larger uid wraps around somewhere, and 2**32 is root again (CVE-2024-40635)
_SYSTEM_DIRECTORIES = ("/proc", "/sys", "/dev", "/run/hako")
_SEVERAL_COLONS = 3


def duration(text: str) -> float:
    """Seconds, more than none: `90`, `90s`, `10m`, `1h30m`, `1.5h`, `500ms`, `1d`."""
    seconds = 0.0
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        end = 0
        for match in _DURATION.finditer(text):
            if match.start() != end:
                break
            end = match.end()
            seconds += float(match[1]) * _UNITS[match[2]]
        if end != len(text) or not text:
            raise BadValue(
                "bad-duration", f'"{text}" is not a duration', 'write seconds, or units: "90s", "10m", "1h30m"'
            )
    if seconds <= 0:
        raise BadValue("bad-duration", f'"{text}" is no time at all', "leave the key out for no limit")
    return seconds


def memory(text: str) -> int:
    """Bytes:

    `512m`, `1g`, `1.5GiB`, `64MB`; a K, M, G or T is a power of 1024, as in Docker. At least MEMORY_MINIMUM.
    """
    found = size(text)
    if found < MEMORY_MINIMUM:
        raise BadValue(
            "bad-size",
            f'"{text}" of memory is too little',
            'a container needs 6 MiB at least: "6m"; was a unit left out?',
        )
    return found


def size(text: str) -> int:
    """Bytes, however few."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise BadValue("bad-size", f'"{text}" is not a size', 'write bytes, or a unit: "512m", "2g"')
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def count(text: str) -> int:
    """A number from 0 on."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise BadValue("bad-number", f'"{text}" is not a number from 0 on')


def retries(text: str) -> int:
    """How often something is tried again, up to RETRIES_LIMIT."""
    found = count(text)
    if found > RETRIES_LIMIT:
        raise BadValue("bad-number", f'"{text}" retries are too many', f"{RETRIES_LIMIT} at most")
    return found


def cpus(text: str) -> float:
    """A number of processors, parts of one allowed."""
    if not _CPUS.fullmatch(text) or float(text) <= 0:
        raise BadValue("bad-cpus", f'"{text}" is not a number of processors', 'write a number above 0: "2", "0.5"')
    return float(text)


def port(text: str) -> int:
    """A TCP port, 1 to 65535."""
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    hint = "write the number of the port that the service listens on"
    if ":" in text:
        hint = f'ports are not published on the host: write "{text.rpartition(":")[2]}"; steps reach a service by name'
    raise BadValue("bad-port", f'"{text}" is not a port', hint)


def flag(text: str) -> bool:
    """`true` or `false`, and the words that YAML 1.1 has for them."""
    if (found := FLAGS.get(text.lower())) is not None:
        return found
    raise BadValue("bad-value", f'"{text}" is neither true nor false')


def on_failure(text: str) -> OnFailure:
    """What becomes of the Stage: `fail`, `ignore`, `fast`; Woodpecker's word for the last is `cancel`."""
    try:
        return OnFailure.FAST if text == "cancel" else OnFailure(text or OnFailure.FAIL)
    except ValueError:
        raise BadValue("bad-value", f'"failure" cannot be "{text}"', f"one of: {', '.join(OnFailure)}") from None


def pull(text: str) -> str:
    """When an image is looked for anew; `true`, as in Woodpecker, is always."""
    if text in PULL:
        return text
    if FLAGS.get(text.lower()) is not None:
        return "always" if FLAGS[text.lower()] else ""
    raise BadValue("bad-value", f'"pull" cannot be "{text}"', f"one of: {', '.join(PULL)}")


def artifact(text: str) -> str:
    """A pattern of paths in the workspace."""
    if text.startswith("/") or ".." in text.split("/") or not text:
        raise BadValue("bad-artifact", f'"{text}" is not in the workspace', 'write a path or pattern such as "dist/**"')
    try:
        Glob(text)
    except GlobError as error:
        raise BadValue("bad-artifact", f'"{text}" is not a pattern: {error}') from None
    return text.rstrip("/")


def workspace_path(text: str) -> str:
    """A path in the workspace, `.` for all of it."""
    if text.startswith("/"):
        raise BadValue("bad-path", f'"{text}" is not in the workspace', f'write "{text.lstrip("/") or "."}"')
    return relative(text) or "."


def cached_path(text: str) -> str:
    """A path that a cache keeps: in the workspace, or an absolute one of the container."""
    if text.startswith("/"):
        return directory(text, "bad-cache")
    if text.startswith("~"):
        hint = f'write the path itself: "/root{text[1:]}"'
        raise BadValue("bad-cache", f'"{text}": nothing is known of the home directory', hint)
    path = relative(text, "bad-cache")
    if path in ("", "."):
        raise BadValue("bad-cache", "all of the workspace cannot be a cache", "name the directories in it")
    if path == ".git" or path.startswith(".git/"):
        raise BadValue("bad-cache", f'"{text}" belongs to the repository')
    return path


def user(text: str) -> str:
    """`name`, `uid`, `name:group` or `uid:gid`."""
    parts = text.split(":")
    if len(parts) > 2 or not all(_USER.fullmatch(part) for part in parts):
        raise BadValue("bad-user", f'"{text}" is not a user', 'write "name", "uid" or "uid:gid"')
    if any(part.isdigit() and int(part) > IDENTITY_LIMIT for part in parts):
        raise BadValue("bad-user", f'"{text}" is beyond the largest user id, {IDENTITY_LIMIT}')
    return text


def image(text: str) -> str:
    """An image reference, as Docker writes it."""
    if len(text) <= IMAGE_LIMIT and _IMAGE.fullmatch(text):
        return text
    hint = 'write "name", "name:tag" or "registry.example.org/name:tag"'
    if not text:
        raise BadValue("bad-image", "the name of the image is empty", hint)
    if len(text) > IMAGE_LIMIT:
        raise BadValue("bad-image", f"the name of an image may have {IMAGE_LIMIT} characters", hint)
    if _IMAGE.fullmatch(text.lower()):
        hint = f'names of images are written in lower case: "{text.lower()}"'
    raise BadValue("bad-image", f'"{text}" is not the name of an image', hint)


def shell(text: str) -> str:
    """The path or name of a shell that can run a step's script."""
    if runs_scripts(text) and (text.startswith("/") or "/" not in text) and ".." not in text.split("/"):
        return text
    raise BadValue(
        "bad-shell",
        f'"{text}" is not a shell that runs commands',
        f"one of {', '.join((*SHELLS, *INTERPRETERS))}, or the full path of one",
    )


def directory(text: str, code: str = "bad-path") -> str:
    """An absolute path inside a container, normalised; not `/`, not below the kernel's own file systems."""
    if not text.startswith("/"):
        raise BadValue(code, f'"{text}" is not an absolute path', f'write "/{text.removeprefix("./")}"' if text else "")
    path = relative(text, code)
    if path == "/" or any(path == system or path.startswith(system + "/") for system in _SYSTEM_DIRECTORIES):
        raise BadValue(code, f'nothing can be put at "{path}" in a container', "choose a directory of your own")
    return path


def relative(text: str, code: str = "bad-path") -> str:
    """A path without `..`, normalised; absolute or not."""
    if "\0" in text or ".." in text.split("/"):
        raise BadValue(code, f'"{text}" may not contain ".."')
    path = posixpath.normpath(text) if text else ""
    return "/" + path.lstrip("/") if path.startswith("/") else path  # normpath keeps "//"


def host_path(text: str) -> str:
    """An absolute path of the host."""
    if not text.startswith("/"):
        raise BadValue(
            "bad-volume",
            f'"{text}" is not an absolute path of the host',
            "the project's own files are in the workspace already",
        )
    return relative(text, "bad-volume")


def device(text: str) -> str:
    """The path of a device."""
    if text.startswith("/dev/") and ".." not in text.split("/"):
        return relative(text, "bad-device")
    raise BadValue("bad-device", f'"{text}" is not a device', 'a device is a path below /dev: "/dev/fuse"')


def address(text: str) -> str:
    """An IP address."""
    import ipaddress  # noqa: PLC0415  (few files have one)

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadValue("bad-host", f'"{text}" is not an IP address') from None


def extra_host(text: str) -> tuple[str, str]:
    """A line of /etc/hosts, `name:address`, as name and address; `host-gateway` is the host that runs the step."""
    name, colon, rest = text.partition(":")
    if not colon or not _HOST.fullmatch(name):
        raise BadValue("bad-host", f'"{text}" is not a name and an address', 'write "name:address": "db:192.0.2.7"')
    return name, rest if rest == HOST_GATEWAY else address(rest.strip("[]"))


def network_mode(text: str) -> str:
    """The network of a container instead of the Stage's: `host`, `none` or `bridge`."""
    if text in {"host", "none", "bridge"}:
        return text
    raise BadValue("bad-network", f'there is no network "{text}" for a step', "one of: host, none, bridge")


def tmpfs(text: str) -> tuple[str, tuple[str, ...]]:
    """A path, and after a colon options: `/tmp`, `/run:size=64m,mode=1777`."""
    path, _, options = text.partition(":")
    found = tuple(option for option in options.split(",") if option)
    for option in found:
        if not _OPTION.fullmatch(option):
            raise BadValue("bad-volume", f'"{option}" is not an option of a file system in memory', "size=…, mode=…")
    return directory(path, "bad-volume"), found


def free_name(text: str) -> str:
    """The name of a step in a dialect that allows any, on one line."""
    if 0 < len(text) <= FREE_NAME_LIMIT and text.isprintable():
        return text
    raise BadValue("bad-name", f"a name has one line of at most {FREE_NAME_LIMIT} characters")


def step_name(text: str) -> str:
    """Letters, digits, `.`, `_`, `-`; begins and ends with a letter or a digit; 63 characters at most."""
    return _name(text, _STEP_NAME, 'letters, digits, ".", "_" and "-", at most 63, a letter or digit at both ends')


def service_name(text: str) -> str:
    """A name that is a host name too: lower case letters, digits, `-`, `_`."""
    return _name(
        text, _SERVICE_NAME, 'a service is a host name: lower case letters, digits, "-" and "_", at most 63', str.lower
    )


def _name(text: str, shape: re.Pattern[str], rule: str, change: Callable[[str], str] = str) -> str:
    if shape.fullmatch(text):
        return text
    better = re.sub(r"[^A-Za-z0-9._-]+", "-", change(text)).strip("-._")[:63]
    raise BadValue("bad-name", f'"{text}" is not a name', f'{rule}: "{better}"' if shape.fullmatch(better) else rule)


def variable(text: str) -> str:
    """The name of an environment variable."""
    if _VARIABLE.fullmatch(text):
        return text
    better = re.sub(r"[^A-Za-z0-9_]", "_", text)
    hint = 'letters, digits and "_", not beginning with a digit'
    raise BadValue(
        "bad-variable-name",
        f'"{text}" is not the name of a variable',
        f'{hint}: "{better}"' if _VARIABLE.fullmatch(better) else hint,
    )


def any_variable(text: str) -> str:
    """The name of an environment variable that the kernel allows (environ(7)), whether a shell can read it or not."""
    if text and "=" not in text and text.isprintable():
        return text
    raise BadValue("bad-variable-name", f'"{text}" is not the name of a variable', 'a name holds no "="')


def secret(text: str) -> str:
    """The name of a secret."""
    if _SECRET.fullmatch(text):
        return text
    hint = 'letters, digits, "_", "-" and ".", beginning with a letter or "_"'
    if "$" in text:
        hint = 'write the name of the secret, without "$"'
    raise BadValue("bad-secret-name", f'"{text}" is not the name of a secret', hint)


def secret_variable(name: str) -> str:
    """The environment variable that a secret goes to where none is given:

    its name in upper case, `-` and `.` as `_`.
    """
    return name.upper().replace("-", "_").replace(".", "_")


def label(text: str) -> str:
    """A label's name or value."""
    if not text or _LABEL.fullmatch(text):
        return text
    raise BadValue("bad-label", f'"{text}" is not a label', 'letters, digits, "_", ".", "/" and "-", at most 63')
