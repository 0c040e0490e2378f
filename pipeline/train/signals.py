"""SIGINT and SIGTERM while a training runs: the first is noted, so that the step in work is finished and saved."""

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
# torchrun hands on a Ctrl-C that the terminal has sent to its processes already.
_ONE_AND_THE_SAME = 1.0
_SHOW_CURSOR = b"\x1b[?25h"


class Interrupted(RsmtdfError):  # noqa: N818 - nothing went wrong
    """A training left early because it was told to; what it had computed is kept.

    Attributes:
        status: what the process ends with, 128 and the signal's number.
    """

    def __init__(
        self, what: str, *, where: object = None, remedy: str | None = None, number: int = 2
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.status = 128 + number


def interrupted(
    number: int, run: RunFolder, *, done: int, total: int, saved: int | None, processes: int
) -> Interrupted:
    """What a training tells that leaves at a signal, with the command that goes on with it.

    Args:
        number: of the signal.
        run: the training's folder.
        done: steps trained.
        total: steps of the whole training.
        saved: steps of the newest checkpoint; None without one.
        processes: how many train together.
    """
    kept = "nothing is kept" if saved is None else f"the checkpoint of step {saved} is kept"
    command = train_command(run.config, run.path, "--resume", processes=processes)
    return Interrupted(
        f"{signal.Signals(number).name} after step {done} of {total}: {kept}",
        where=run.path,
        remedy=f"go on with: {command}",
        number=number,
    )


class Signals:
    """While entered, notes the first signal; the second one does not wait.

    Outside the main thread, where Python lets nobody listen, nothing is noted.

    Args:
        speaks: whether this process answers the first signal with a line on standard error.
        exits: whether the second signal ends the process at once. Otherwise it goes to the handler from before, so
            that in a notebook Ctrl-C raises KeyboardInterrupt and the process lives on.

    Attributes:
        number: of the signal that came; 0 before.
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
            self._before = {one: signal.signal(one, self._note) for one in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def agreed(self, accelerator: Accelerator) -> int:
        """The number of the signal that any of the processes got; all of them must ask."""
        if accelerator.num_processes == 1:
            return self.number
        own = torch.tensor([self.number], device=accelerator.device)
        found: Tensor = accelerator.reduce(own, "max")
        return int(found)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a loader's process, forked from this one: it ends when this one does
        if self.number:
            launched = "TORCHELASTIC_RUN_ID" in os.environ
            if launched and time.monotonic() - self._came < _ONE_AND_THE_SAME:
                return
            if not self._exits:
                signal.signal(number, self._before[signal.Signals(number)])
                signal.raise_signal(number)
                return
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)  # the progress bar had hidden it
            os._exit(128 + number)
        self.number, self._came = number, time.monotonic()
        if self._speaks:
            name = signal.Signals(number).name
            # Written past all buffers and locks: the signal may have come while one was held.
            second = "ends" if self._exits else "interrupts"
            line = f"\n{name}: leaving after the step in work; a second signal {second} at once\n"
            os.write(2, line.encode())
