"""Handle SIGINT and SIGTERM during training: after the first signal, finish and save the current step."""

import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Self

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.commands import train_command
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.runs.folder import RunFolder

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# torchrun forwards a Ctrl-C that the terminal has already sent to its processes. Seconds.
_DUPLICATE = 1.0
_SHOW_CURSOR = b"\x1b[?25h"
_LAUNCHED = "TORCHELASTIC_RUN_ID"  # in the environment of processes that torchrun starts
_SET_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG in linux/prctl.h


class Interrupted(RsmtdfError):  # noqa: N818 - nothing went wrong
    """A signal stopped the training after it was saved.

    Attributes:
        status: exit status of the process, 128 plus the number of the signal.
    """

    def __init__(
        self, what: str, *, where: object = None, remedy: str | None = None, number: int = 2
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.status = 128 + number


def end_with_launcher() -> None:
    """Request SIGTERM for this process when the torchrun that started it is killed.

    Otherwise the processes of a killed torchrun would train on with nobody to stop them. Only Linux supports this;
    elsewhere the lock of the run still refuses a second training.
    """
    if _LAUNCHED in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_SIGNAL_OF_PARENTS_DEATH, int(signal.SIGTERM), 0, 0, 0)


def interrupted(
    number: int, run: RunFolder, *, done: int, total: int, saved: int | None, processes: int
) -> Interrupted:
    """Return the error for a training stopped by a signal, with the command that continues it.

    Args:
        number: number of the signal.
        run: the training's folder.
        done: number of trained steps.
        total: steps of the whole training.
        saved: steps of the newest checkpoint; None without a checkpoint.
        processes: number of processes that train together.
    """
    kept = "no checkpoint is saved" if saved is None else f"the checkpoint of step {saved} is saved"
    command = train_command(run.config, run.path, "--resume", processes=processes)
    return Interrupted(
        f"{signal.Signals(number).name} after step {done} of {total}: {kept}",
        where=run.path,
        remedy=f"go on with: {command}",
        number=number,
    )


class Signals:
    """A context that records the first signal; the second takes effect at once.

    Outside the main thread, Python does not support signal handlers, and no signal is recorded.

    Args:
        speaks: whether this process answers the first signal with a line on standard error.
        exits: whether the second signal ends the process at once. Otherwise it goes to the previous handler, so that
            Ctrl-C in a notebook raises KeyboardInterrupt and the process continues.

    Attributes:
        number: number of the recorded signal; 0 before.
    """

    def __init__(self, *, speaks: bool, exits: bool = False) -> None:
        self.number = 0
        self._speaks = speaks
        self._exits = exits
        self._pid = os.getpid()
        self._came = 0.0
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self, accelerator: Accelerator) -> int:
        """Return the number of the signal that any process received; every process must call this."""
        if accelerator.num_processes == 1:
            return self.number
        number = torch.tensor([self.number], device=accelerator.device)
        largest: Tensor = accelerator.reduce(number, "max")
        return int(largest)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # in a loader process forked from this one, which ends together with it
        if self.number:
            launched = _LAUNCHED in os.environ
            if launched and time.monotonic() - self._came < _DUPLICATE:
                return
            if not self._exits:
                signal.signal(number, self._before[signal.Signals(number)])
                signal.raise_signal(number)
                return
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)  # because the progress bar hides it
            os._exit(128 + number)
        self.number, self._came = number, time.monotonic()
        if self._speaks:
            name = signal.Signals(number).name
            # Written directly, because the signal may have interrupted code that holds a buffer's lock.
            second = "ends" if self._exits else "interrupts"
            line = f"\n{name}: stopping after the current step; a second signal {second} at once\n"
            os.write(2, line.encode())
