"""One Stage from its acceptance to its end, in a process of its own, which `agent` forks for it.

The server is asked for the Stage; of several runners one gets it. Then: workspace, images, artifacts of earlier Stages,
the steps (`runners.stage`), each told to the server through the outbox. The process has no threads, as the engine wants
it, and waits for no network once the steps run. SIGTERM ends the Stage as cancelled, SIGINT as if it had never begun:
another process will have it. Killed, it leaves to `Host.reclaim` what it had.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from ci.errors import CiError
from runners import stagefolder
from runners.assignment import Assignment
from runners.delivery import Delivery
from runners.loop import Loop
from runners.outbox import Outbox
from runners.preparing import Preparation
from runners.reporting import WORDS, OutboxReporter
from runners.rpc import AwayError, RpcError
from runners.schedule import State
from runners.stage import StageRun

if TYPE_CHECKING:
    from types import FrameType

    from runners.backend import Backend
    from runners.host import Host
    from runners.report import StageResult

_CANCELLED = "cancelled"


class _StoppedError(Exception):
    """The Stage is to end while its process waits for something else than its containers: a signal's handler raises
    it.
    """


class _AbandonedError(_StoppedError):
    """It is not to be told how it ended."""


class _LateError(_StoppedError):
    """Its time is over."""


def run_stage(stage: int, host: Host) -> None:
    """Take the Stage and run it, unless it is another's. Whatever goes wrong is told to the server as its end."""
    folder = stagefolder.StageFolder(host.identity.root, stage)
    if not folder.make():
        return
    signals = _Signals()
    rpc = host.rpc()
    try:
        given = rpc.accept(stage)
    except (RpcError, AwayError, _StoppedError) as error:
        folder.remove()
        if not isinstance(error, RpcError | _StoppedError):
            raise
        return
    finally:
        rpc.close()
    _Worker(folder, host, Assignment.of(given), signals).run()


class _Signals:
    """What signals do: raise, until `deliver` says what else."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._raises = True
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, self._arrived)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._raises:
            with suppress(BlockingIOError):
                os.write(self._writing, bytes((number,)))
        elif number == signal.SIGALRM:
            raise _LateError
        else:
            raise _StoppedError if number == signal.SIGTERM else _AbandonedError

    def deliver(self, loop: Loop, worker: _Worker) -> None:
        """From now on the loop tells the worker."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._raises = False

        def read() -> None:
            for number in os.read(self._reading, 64):
                worker.told(signal.Signals(number))

        loop.watch(self._reading, read)

    def hush(self) -> None:
        """Nothing is to be interrupted any more."""
        self._raises = False
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Worker:
    """An accepted Stage."""

    def __init__(self, folder: stagefolder.StageFolder, host: Host, given: Assignment, signals: _Signals) -> None:
        self._folder = folder
        self._host = host
        self._given = given
        self._signals = signals
        self._loop = Loop()
        self._outbox = Outbox(folder.path, attempt=given.attempt, limit=given.log_limit)
        self._reporter = OutboxReporter(self._outbox, given.numbers, self._loop.now())
        self._delivery = Delivery(folder, host, self._loop, self._outbox, self._refused)
        self._run: StageRun | None = None
        self._result: StageResult | None = None
        self._abandoned = False

    def run(self) -> None:
        """To the end."""
        try:
            self._to_the_end()
        except _AbandonedError:
            self._abandoned = True
        except _LateError:
            self._reporter.finish(WORDS[State.FAILED], error="the time is over")
        except _StoppedError:
            self._reporter.finish(WORDS[State.CANCELLED], error=_CANCELLED)
        except Exception as error:  # whatever it is: the server has to hear of it
            self._reporter.finish(WORDS[State.ERROR], error=_sentence(error))
        finally:
            self._signals.hush()
            self._folder.leave()
            self._outbox.close()
            self._delivery.leave()
            if self._abandoned:
                self._folder.remove()
            self._folder.release()

    def _to_the_end(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._given.timeout)
        with ExitStack() as stack:
            preparation = Preparation(self._given, self._host, self._folder.path, self._reporter, stack)
            try:
                backend, given = preparation.everything()
            except BaseException:
                self._signals.hush()  # what is given back now is given back whole
                raise
            self._steps(backend, given)

    def _steps(self, backend: Backend, given: Any) -> None:
        self._signals.deliver(self._loop, self)
        self._run = StageRun(
            self._given.spec,
            given,
            loop=self._loop,
            backend=backend,
            reporter=self._reporter,
            finished=self._finished,
        )
        try:
            self._run.start()
            self._loop.run(until=lambda: self._result is not None or self._abandoned)
        except BaseException:
            self._run.abandon()
            raise

    def told(self, number: signal.Signals) -> None:
        """A signal, while steps run."""
        if self._run is None or self._result is not None:
            return
        if number == signal.SIGTERM:
            self._run.cancel(_CANCELLED, interrupted=True)
        else:
            self._abandoned = True
            self._run.abandon()

    def _refused(self) -> None:
        """The server says that the Stage is not ours: nobody is to be told how it ends."""
        self._abandoned = True
        if self._run is None:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            self._run.abandon()

    def _finished(self, result: StageResult) -> None:
        self._result = result


def main(stage: int, host: Host) -> NoReturn:
    """The whole of a forked process: never returns."""
    status = 1
    try:
        run_stage(stage, host)
        status = 0
    except BaseException as error:  # the end of the process
        sys.stderr.write(f"ci-run: stage {stage}: {_sentence(error)}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)


def _sentence(error: BaseException) -> str:
    """An error as people are told it."""
    if isinstance(error, CiError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()
        return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason
    text = " ".join(str(error).split())
    known = type(error).__module__.startswith(("runners.", "sandbox."))
    return text if known and text else f"the runner has failed: {type(error).__name__}: {text}"
