"""Where the installed command `ci-run` begins: a Ctrl-C while Python still loads the rest ends it without a word.

The modules imported here are built into the interpreter, so nothing is looked for on the disk before the handler is
set. `main` puts Python's own handler back as soon as it can catch what that raises.
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:  # as in a shell's job in the background
    _signal.signal(_signal.SIGINT, lambda *_: posix._exit(130))

from ci.cli.main import main as _main


def main() -> None:
    """Run the command line of this process, and end it: taking the interpreter apart would be a tenth of a run."""
    code = _main()
    try:
        sys.stderr.flush()
    finally:
        posix._exit(code)
