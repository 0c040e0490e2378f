"""Each logged step and validation is written once wherever it is wanted."""

from types import SimpleNamespace

import pytest

from pipeline.train.journal import Journal
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.history import Validation
from rsmtdf_core.runs.seals import write_sealed_json
from tests.pipeline.helpers import Told
from tests.pipeline.train.test_scalars import events, scalar


class Bars(Told):
    """Keeps how bars were moved."""

    def __init__(self):
        super().__init__()
        self.bars, self.notes = [], []

    def bar(self, label, total, done=0):
        self.bars.append((label, total, done))
        return self

    def advance(self, count=1, note=""):
        self.notes.append(note)


class Trackers:
    def __init__(self):
        self.trackers, self.logged, self.num_processes = [object()], [], 1

    def log(self, values, step):
        self.logged.append((step, values))


RECORD = SimpleNamespace(
    step=4,
    epoch=1,
    lr=0.5,
    weights={"weight_distill": 0.25},
    clock=SimpleNamespace(seconds=lambda: {"step": 2.0}),
)
LINE = {"step": 5, "epoch": 1, "split": "val", "miou": 0.25}


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    write_sealed_json(run.marker, {"format": 1})
    return run


def test_steps_and_validations_reach_metrics_tensorboard_trackers_and_the_bar(run):
    bars, trackers = Bars(), Trackers()
    best = Validation(4, 1, 0.125, only_class="water")
    with Journal(run, trackers, bars, start=3, total=8) as journal:
        journal.passed()
        journal.step(RECORD, {"loss": 0.75, "supervised": 0.5}, None)
        journal.step(RECORD, {"loss": 0.75}, best)
        journal.validation(LINE)
    assert bars.bars == [("train", 8, 3)]
    assert bars.notes[0] == ""
    assert bars.notes[1] == "loss 0.7500"
    assert bars.notes[2] == "loss 0.7500, best val mIoU 12.50 (water everywhere)"
    first, second, last = run.read_metrics()
    assert first == {
        "step": 4,
        "epoch": 1,
        "lr": 0.5,
        "loss": 0.75,
        "supervised": 0.5,
        "weight_distill": 0.25,
        "seconds": {"step": 2.0},
    }
    assert "supervised" not in second
    assert last == LINE
    written = [scalar(event) for event in events(run.tensorboard) if event.summary.value]
    assert (4, "train/supervised", 0.5) in written
    assert (4, "train/lr", 0.5) in written
    assert written[-1] == (5, "val/miou", 0.25)
    assert trackers.logged[0] == (
        4,
        {
            "train/loss": 0.75,
            "train/supervised": 0.5,
            "train/weight_distill": 0.25,
            "train/lr": 0.5,
        },
    )
    assert trackers.logged[-1] == (5, {"val/miou": 0.25})


def test_without_trackers_no_value_is_sent(run):
    trackers = Trackers()
    trackers.trackers.clear()
    with Journal(run, trackers, Bars(), 0, 8) as journal:
        journal.validation(LINE)
    assert trackers.logged == []


def test_a_bar_that_fails_closes_the_event_file(run):
    class Broken(Bars):
        def bar(self, label, total, done=0):
            raise RuntimeError("no terminal")

    journal = Journal(run, Trackers(), Broken(), 0, 8)
    with pytest.raises(RuntimeError, match="terminal"):
        journal.__enter__()
    assert journal._scalars._file.closed
