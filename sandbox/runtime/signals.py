"""The names of signals, as `docker kill`, STOPSIGNAL and Go's own table have them."""

from __future__ import annotations

import re
import signal

from sandbox.errors import InvalidError

_REAL_TIME = re.compile(r"(RTMIN\+|RTMAX-)(\d{1,2})")


def signal_number(name: str | int) -> int:
    """15, "15", "TERM" and "SIGTERM" are the same signal; real-time ones count as in "RTMIN+3", "RTMAX-2".

    Raises InvalidError for any other text.
    """
    text = str(int(name)) if isinstance(name, int) else name
    if text.isascii() and text.isdigit() and 0 < int(text) <= signal.SIGRTMAX:
        return int(text)
    short = text.upper().removeprefix("SIG")
    number = getattr(signal, "SIG" + short, None)
    if isinstance(number, signal.Signals):
        return number
    if (real_time := _REAL_TIME.fullmatch(short)) is not None:
        base, offset = real_time.groups()
        counted = signal.SIGRTMIN + int(offset) if base == "RTMIN+" else signal.SIGRTMAX - int(offset)
        if signal.SIGRTMIN <= counted <= signal.SIGRTMAX:
            return counted
    raise InvalidError(
        f"no signal is called {text!r}", hint="use a name such as TERM, or a number", reference="bad-signal"
    )
