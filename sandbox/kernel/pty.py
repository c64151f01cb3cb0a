"""Pseudo-terminals: a pair for a container, its size, and the caller's own terminal in raw mode.

Called by the runtime's init (`open_pty` on the container's own devpts) and by the CLI (`RawTerminal`, sizes). Source:
pts(4), ioctl_tty(2), termios(3).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios
from typing import TYPE_CHECKING

from sandbox.kernel.openat import reopen

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sandbox.kernel.syscalls import StrPath

_TIOCSPTLCK = 0x4004_5431
_TIOCGPTPEER = 0x5441
_PTMX = (5, 2)
_SLAVE_MAJORS = range(136, 144)  # UNIX98 terminals, the kernel's admin-guide/devices.txt
_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC


def open_pty(ptmx: StrPath | int = "/dev/ptmx") -> tuple[int, int]:
    """A new pseudo-terminal `(master, slave)` of the devpts that `ptmx` belongs to, both close-on-exec, neither
    controlling.

    `ptmx` is a path or a descriptor (O_PATH) of the multiplexer's node, or a descriptor of a master opened already,
    which is used itself. The slave comes from the master (TIOCGPTPEER) and not from /dev/pts, where a container could
    have put something else (CVE-2025-52565). Raises `OSError`, ENODEV when it is no multiplexer.
    """
    owned = True
    if not isinstance(ptmx, int):
        master = os.open(ptmx, _FLAGS)
    elif fcntl.fcntl(ptmx, fcntl.F_GETFL) & os.O_PATH:
        _require(_device(ptmx) == _PTMX, ptmx)  # before opening: a device may act on that alone
        master = reopen(ptmx, _FLAGS)
    else:
        master, owned = ptmx, False
    try:
        _require(_device(master) == _PTMX, ptmx)
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, _TIOCGPTPEER, _FLAGS)
        _require(_device(slave)[0] in _SLAVE_MAJORS, ptmx)
    except OSError:
        if owned:
            os.close(master)
        raise
    return master, slave


def _device(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISCHR(found.st_mode) else (0, 0)


def _require(condition: bool, ptmx: StrPath | int) -> None:
    if not condition:
        raise OSError(errno.ENODEV, "not a pseudo-terminal multiplexer", ptmx if not isinstance(ptmx, int) else None)


def make_controlling(slave: int) -> None:
    """Make `slave` the controlling terminal of this session; the caller leads the session (setsid) and has none yet."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def set_size(fd: int, rows: int, columns: int) -> None:
    """The terminal's size in characters; its foreground processes get SIGWINCH when it changes."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def get_size(fd: int) -> tuple[int, int]:
    """The terminal's `(rows, columns)`; (0, 0) where nobody has set them. Raises `OSError` ENOTTY for what is no
    terminal.
    """
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


class RawTerminal:
    """The terminal `fd` in raw mode (every key goes through, nothing is echoed) during a `with`, and as before
    afterwards.

    Nothing happens on what is no terminal. Closing twice, and a terminal that has gone away, are no errors.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> Self:
        if not os.isatty(self._fd):
            return self
        before = termios.tcgetattr(self._fd)
        raw = [*before[:6], list(before[6])]
        # cfmakeraw(3)
        raw[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        raw[1] &= ~termios.OPOST
        raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        self._before = before
        termios.tcsetattr(self._fd, termios.TCSADRAIN, raw)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the terminal back as it was."""
        before, self._before = self._before, None
        if before is None:
            return
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
        except termios.error as error:
            if error.args[0] not in (errno.EIO, errno.EBADF, errno.ENOTTY):
                raise
