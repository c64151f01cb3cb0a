"""Whether a RUN of another architecture can be executed here: by the processor itself, or by an emulator.

Emulators are the kernel's binfmt_misc handlers; one without the flag F would be looked for in the container, where it
is not. Sources: Documentation/admin-guide/binfmt-misc.rst, elf(5).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from sandbox.image.platform import host

_HANDLERS = Path("/proc/sys/fs/binfmt_misc")
_TOO = {"amd64": ("386",), "arm64": ("arm",)}  # what these execute besides


class _Elf(NamedTuple):
    bits: int
    little: bool
    machine: int  # e_machine


_ELF = {
    "386": _Elf(32, True, 3),
    "amd64": _Elf(64, True, 62),
    "arm": _Elf(32, True, 40),
    "arm64": _Elf(64, True, 183),
    "loong64": _Elf(64, True, 258),
    "mips64le": _Elf(64, True, 8),
    "ppc64le": _Elf(64, True, 21),
    "riscv64": _Elf(64, True, 243),
    "s390x": _Elf(64, False, 22),
}


def is_runnable(architecture: str, handlers: Path = _HANDLERS) -> bool:
    """Whether programs of the architecture run here; `handlers` is where binfmt_misc is mounted."""
    here = host().architecture
    if architecture == here or architecture in _TOO.get(here, ()):
        return True
    elf = _ELF.get(architecture)
    if elf is None or not handlers.is_dir():
        return False
    return any(_handles(path, elf) for path in handlers.iterdir() if path.name not in ("register", "status"))


def _handles(path: Path, elf: _Elf) -> bool:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return False
    fields = dict(line.partition(" ")[::2] for line in lines)
    flags = fields.get("flags:", "")
    try:
        offset = int(fields.get("offset", "0"))
        magic = bytes.fromhex(fields.get("magic", ""))
        mask = bytes.fromhex(fields["mask"]) if "mask" in fields else b"\xff" * len(magic)
    except ValueError:
        return False
    header = _header(elf)[offset : offset + len(magic)]
    same = len(header) == len(magic) and all(
        one & bits == wanted & bits for one, bits, wanted in zip(header, mask, magic, strict=True)
    )
    return lines[:1] == ["enabled"] and bool(magic) and "F" in flags and same


def _header(elf: _Elf) -> bytes:
    """The beginning of a program: identification, e_type ET_EXEC, e_machine, e_version."""
    order: Literal["little", "big"] = "little" if elf.little else "big"
    identification = b"\x7fELF" + bytes([2 if elf.bits == 64 else 1, 1 if elf.little else 2, 1]) + bytes(9)
    return identification + (2).to_bytes(2, order) + elf.machine.to_bytes(2, order) + (1).to_bytes(4, order)
