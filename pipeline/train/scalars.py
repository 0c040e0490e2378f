"""Scalars for TensorBoard, written synchronously, so that write errors reach the training."""

import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from rsmtdf_core.refusals import naming, writing


class ScalarFile:
    """A new event file in a folder; TensorBoard reads all files of a folder as a single run.

    torch's SummaryWriter writes from a background thread. If the disk is full, that thread only prints a traceback and
    the training continues without it.

    Args:
        folder: folder of the run's event files, created if missing.
        start: the first step, counted from 0; it invalidates later steps in earlier files.

    Raises:
        WriteError: If the file cannot be written, here or in `add`.
    """

    def __init__(self, folder: Path, start: int) -> None:
        # TensorBoard reads files in the order of their names.
        seconds, rest = divmod(time.time_ns(), 10**9)
        maker = f"{socket.gethostname()}.{os.getpid()}"
        self._path = folder / f"events.out.tfevents.{seconds:010d}.{maker}.{rest:09d}"
        with writing(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb", buffering=0)
        self._records = RecordWriter(self._file)
        try:
            self._write(Event(step=start, file_version="brain.Event:2"))
            self._write(Event(step=start, session_log=SessionLog(status=SessionLog.START)))
        except BaseException:
            self._file.close()
            raise

    def add(self, name: str, value: float, step: int) -> None:
        """Write a scalar of a step."""
        value_of = Summary.Value(tag=name, simple_value=value)
        self._write(Event(step=step, summary=Summary(value=[value_of])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        with writing(self._path), naming(self._path):
            self._records.write(event.SerializeToString())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
