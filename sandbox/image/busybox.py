"""The root file system of the image `busybox`: one static program under its many names, and the few files it needs.

The program is the host's own, or Debian's busybox-static unpacked without being installed. The same program always
gives the same bytes: entries are sorted, times are fixed, owners are root.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.image import decompress
from sandbox.image.limits import Limits
from sandbox.image.scratch import Scratch
from sandbox.image.tarformat import NANOSECONDS, Kind, TarEntry
from sandbox.image.tarreader import TarReader
from sandbox.image.tarsource import TarSource
from sandbox.image.tarwriter import TarWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CREATED = "2025-01-01T00:00:00Z"  # of every busybox image: what has the same content has the same id
_MTIME = 1735689600 * NANOSECONDS
_PLACES = ("/bin/busybox", "/usr/bin/busybox", "/sbin/busybox", "/usr/lib/initramfs-tools/bin/busybox")
_MAX_PROGRAM = 64 << 20
_PT_INTERP = 3
_PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUP = b"""\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
wheel:x:10:root
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""
_DIRECTORIES: tuple[tuple[bytes, int], ...] = (
    (b"bin", 0o755),
    (b"dev", 0o755),
    (b"etc", 0o755),
    (b"home", 0o755),
    (b"proc", 0o555),
    (b"root", 0o700),
    (b"run", 0o755),
    (b"sbin", 0o755),
    (b"sys", 0o555),
    (b"tmp", 0o1777),
    (b"usr", 0o755),
    (b"usr/bin", 0o755),
    (b"usr/sbin", 0o755),
    (b"var", 0o755),
    (b"var/spool", 0o755),
    (b"var/spool/mail", 0o755),
    (b"var/tmp", 0o1777),
    (b"var/www", 0o755),
)
# The empty ones are where a container's own are mounted.
_FILES: tuple[tuple[bytes, bytes, int], ...] = (
    (b"etc/group", _GROUP, 0o644),
    (b"etc/hostname", b"", 0o644),
    (b"etc/hosts", b"", 0o644),
    (b"etc/passwd", _PASSWD, 0o644),
    (b"etc/resolv.conf", b"", 0o644),
    (b"etc/shadow", b"root:*:::::::\nnobody:*:::::::\n", 0o640),
)


def find_program(home: Path, progress: Callable[[str], None]) -> bytes:
    """The bytes of a static busybox: the host's, else from Debian's package. Raises SandboxError when there is none."""
    for place in _PLACES:
        try:
            program = Path(place).read_bytes()
        except OSError:
            continue
        if is_static(program):
            progress(f"using {place}")
            return program
    progress("downloading busybox-static")
    with Scratch(home) as scratch:
        return _download(scratch.path)


def is_static(program: bytes) -> bool:
    """Whether these bytes are an ELF program for 64 bits that needs no loader (no PT_INTERP). Source: elf(5)."""
    if len(program) < 64 or program[:6] != b"\x7fELF\x02\x01":
        return False
    (offset,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for index in range(count):
        start = offset + index * size
        if start + 4 > len(program) or struct.unpack_from("<I", program, start) == (_PT_INTERP,):
            return False
    return True


def applets(program: bytes, home: Path) -> tuple[bytes, ...]:
    """The names that the program goes by, as itself says."""
    with Scratch(home) as scratch:
        path = scratch.path / "busybox"
        path.write_bytes(program)
        path.chmod(0o700)
        try:
            listed = subprocess.run([path, "--list"], capture_output=True, check=True, timeout=30).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxError(f"`busybox --list` failed: {error}") from error
    return tuple(sorted({name for name in listed.split() if b"/" not in name and name != b"busybox"}))


def root_tar(program: bytes, names: Iterable[bytes]) -> bytes:
    """The archive of the root file system."""
    parts: list[bytes] = []
    writer = TarWriter(lambda data: parts.append(bytes(data)))
    entries: dict[bytes, tuple[TarEntry, bytes]] = {}

    def add(name: bytes, kind: Kind, mode: int, data: bytes = b"", target: bytes = b"") -> None:
        entries[name] = (TarEntry(name, kind, mode, size=len(data), mtime=_MTIME, target=target), data)

    add(b"./", Kind.DIRECTORY, 0o755)
    for path, mode in _DIRECTORIES:
        add(path, Kind.DIRECTORY, mode)
    for path, data, mode in _FILES:
        add(path, Kind.FILE, mode, data)
    add(b"bin/busybox", Kind.FILE, 0o755, program)
    for name in names:
        # Hard links, as docker's busybox has: a program finds its applet by the name it was started by.
        add(b"bin/" + name, Kind.LINK, 0o755, target=b"bin/busybox")
    add(b"usr/bin/env", Kind.SYMLINK, 0o777, target=b"../../bin/env")  # where scripts look for it
    ordered = sorted(entries.items(), key=lambda item: (item[1][0].kind is Kind.LINK, item[0]))
    for _, (entry, data) in ordered:
        writer.add(entry, (data,) if data else ())
    writer.close()
    return b"".join(parts)


def _download(folder: Path) -> bytes:
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        raise SandboxError("no static busybox on this host", hint="install one in /bin/busybox") from None
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        raise SandboxError(
            f"cannot download busybox-static: {''.join(said)}", hint="apt-get update && apt-get install busybox-static"
        ) from error
    for package in folder.glob("busybox-static_*.deb"):
        program = _program_of(package)
        if program is not None and is_static(program):
            return program
    raise SandboxError("the package busybox-static has no static busybox in it")


def _program_of(package: Path) -> bytes | None:
    """`bin/busybox` of a Debian package: an ar archive with `data.tar.*` in it. Source: deb(5)."""
    with package.open("rb") as stream:
        if stream.read(8) != b"!<arch>\n":
            return None
        while len(header := stream.read(60)) == 60:
            size = int(header[48:58])
            if header.startswith(b"data.tar"):
                break
            stream.seek(size + size % 2, os.SEEK_CUR)
        else:
            return None
        limits = Limits(data=_MAX_PROGRAM)
        reader = TarReader(TarSource(decompress.open_stream(stream), limit=_MAX_PROGRAM), limits)
        for entry in reader:
            if entry.kind is Kind.FILE and entry.name.lstrip(b"./") in (b"bin/busybox", b"usr/bin/busybox"):
                return b"".join(bytes(piece) for piece in reader.data())
    return None
