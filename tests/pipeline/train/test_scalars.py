"""Scalars are in event files that TensorBoard reads, and a refused write is an error."""

import errno
import os

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from pipeline.train.scalars import ScalarFile
from rsmtdf_core.errors import WriteError


def events(folder):
    return [
        event for path in sorted(folder.iterdir()) for event in EventFileLoader(str(path)).Load()
    ]


def scalar(event):
    value = event.summary.value[0]
    return event.step, value.tag, value.tensor.float_val[0]


def test_numbers_are_read_by_tensorboard_in_their_order(tmp_path):
    folder = tmp_path / "new" / "tensorboard"
    with ScalarFile(folder, 0) as file:
        file.add("train/loss", 0.5, 0)
        file.add("val/miou", 0.25, 3)
    assert [scalar(event) for event in events(folder) if event.summary.value] == [
        (0, "train/loss", 0.5),
        (3, "val/miou", 0.25),
    ]


def test_a_resumed_run_starts_a_file_that_voids_later_steps(tmp_path):
    for start in (0, 4):
        with ScalarFile(tmp_path, start) as file:
            file.add("train/loss", 1.0, start)
    starts = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert len(list(tmp_path.iterdir())) == 2
    assert starts == [0, 4]


def test_a_number_is_on_disk_at_once(tmp_path):
    with ScalarFile(tmp_path, 0) as file:
        (path,) = tmp_path.iterdir()
        before = path.stat().st_size
        file.add("train/loss", 1.0, 0)
        assert path.stat().st_size > before


def test_a_refused_write_names_the_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError):
        ScalarFile(tmp_path / "file" / "tensorboard", 0)
    with ScalarFile(tmp_path / "tensorboard", 0) as file:
        (path,) = (tmp_path / "tensorboard").iterdir()
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file._file.fileno())
        os.close(full)
        with pytest.raises(WriteError, match="No space left") as caught:
            file.add("train/loss", 1.0, 0)
    assert caught.value.where == str(path)


def test_a_refused_first_write_closes_the_file(tmp_path, monkeypatch):
    opened = []

    def write(records, _data):
        opened.append(records._writer)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pipeline.train.scalars.RecordWriter.write", write)
    with pytest.raises(WriteError):
        ScalarFile(tmp_path, 0)
    assert opened[0].closed
