"""Each logged step and validation is written once wherever it is wanted."""

from types import SimpleNamespace

import pytest

from pipeline.train.journal import Journal, worst_class
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.history import Validation
from rsmtdf_core.runs.seals import write_sealed_json
from rsmtdf_core.training.meter import Measures
from tests.pipeline.helpers import Messages
from tests.pipeline.train.test_scalars import events, scalar


class Bars(Messages):
    """Keeps how bars were moved."""

    def __init__(self):
        super().__init__()
        self.bars, self.notes = [], []

    def bar(self, label, total, done=0, **options):
        self.bars.append((label, total, done))
        return self

    def advance(self, count=1, note=""):
        self.notes.append(note)


class Trackers:
    def __init__(self):
        self.trackers, self.logged, self.num_processes = [object()], [], 1

    def log(self, values, step):
        self.logged.append((step, values))


def measured(steps=1, trusted=(), explained=None, thresholds=(), **losses):
    return Measures(steps, losses, trusted, explained or {}, thresholds)


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
    with Journal(run, trackers, bars, start=3, total=8, classes=("road", "water")) as journal:
        journal.passed()
        whole = measured(2, (0.25, None), {"dino": -0.5}, (0.5, 0.125), loss=0.75, supervised=0.5)
        journal.step(RECORD, whole, None)
        journal.step(RECORD, measured(loss=0.75), best)
        journal.validation(LINE, Validation(6, 2, 0.25))
    assert bars.bars == [("train", 8, 3)]
    assert bars.notes[0] == ""
    assert bars.notes[1] == "loss 0.7500"
    assert bars.notes[2] == "loss 0.7500, best val mIoU 12.50 (water everywhere)"
    assert bars.notes[3] == "loss 0.7500, best val mIoU 25.00", "at once, not at the next step"
    first, second, last = run.read_metrics()
    assert first == {
        "step": 4,
        "epoch": 1,
        "lr": 0.5,
        "interval": 2,
        "loss": 0.75,
        "supervised": 0.5,
        "trusted_by_class": {"road": 0.25, "water": None},
        "threshold_by_class": {"road": 0.5, "water": 0.125},
        "explained_variance": {"dino": -0.5},
        "weight_distill": 0.25,
        "seconds": {"step": 2.0},
    }
    assert "supervised" not in second
    assert not {"trusted_by_class", "threshold_by_class", "explained_variance"} & second.keys()
    assert last == LINE
    written = [scalar(event) for event in events(run.tensorboard) if event.summary.value]
    assert (4, "train/supervised", 0.5) in written
    assert (4, "train/lr", 0.5) in written
    assert (4, "train/trusted_by_class/road", 0.25) in written
    assert (4, "train/explained_variance/dino", -0.5) in written
    assert (4, "train/threshold_by_class/water", 0.125) in written
    assert not any("trusted_by_class/water" in name for _, name, _ in written)
    assert written[-1] == (5, "val/miou", 0.25)
    assert trackers.logged[1] == (
        4,
        {"train/loss": 0.75, "train/weight_distill": 0.25, "train/lr": 0.5},
    )
    assert trackers.logged[-1] == (5, {"val/miou": 0.25})


def test_the_bar_moves_by_one_for_each_step_and_not_for_a_validation(run):
    class Counts(Bars):
        total = 0

        def advance(self, count=1, note=""):
            self.total += count

    bars = Counts()
    with Journal(run, Trackers(), bars, 0, 8) as journal:
        journal.passed()
        journal.step(RECORD, measured(2, loss=1.0), None)
        journal.validation(LINE, None)
    assert bars.total == 2


def test_a_line_of_the_console_sums_up_an_epoch(run):
    bars = Bars()
    names = [f"class {number}" for number in range(9)]
    with Journal(run, Trackers(), bars, 0, 8, names) as journal:
        journal.round(RECORD, None)
        shares = tuple(number / 10 if number != 3 else None for number in range(9))
        whole = measured(3, shares, {"dino": 0.25}, loss=0.75, loss_x=0.5, share=0.3)
        journal.step(RECORD, whole, None)
        journal.round(RECORD, Validation(5, 2, 0.25))
    first, second = bars.lines
    assert first == "epoch 2, step 5"
    assert second == (
        "epoch 2, step 5: val mIoU 25.00; steps 3 to 5: loss 0.75 (loss_x 0.5, share 0.3); "
        "least trusted classes: class 0 0.0 %, class 1 10.0 %, class 2 20.0 %, class 4 40.0 %, "
        "class 5 50.0 %, class 6 60.0 %; explained variance: dino 25.0 %"
    )


def test_a_validation_names_the_worst_class(run):
    bars = Bars()
    with Journal(run, Trackers(), bars, 0, 8) as journal:
        journal.validation(LINE | {"iou": {"road": 0.5, "water": 0.125, "sand": None}}, None)
        journal.round(RECORD, Validation(5, 2, 0.25))
        journal.validation(LINE | {"iou": {"road": 0.5}}, None)
        journal.round(RECORD, Validation(5, 2, 0.25))
    assert bars.lines == [
        "epoch 2, step 5: val mIoU 25.00 (worst class: water 12.50)",
        "epoch 2, step 5: val mIoU 25.00",
    ]


def test_the_worst_class_needs_another_to_compare_with():
    assert worst_class({}) == ""
    assert worst_class({"road": None, "water": 0.5}) == ""
    assert worst_class({"road": 0.0, "water": 0.5}) == " (worst class: road 0.00)"


def test_without_trackers_no_value_is_sent(run):
    trackers = Trackers()
    trackers.trackers.clear()
    with Journal(run, trackers, Bars(), 0, 8) as journal:
        journal.validation(LINE, None)
    assert trackers.logged == []


def test_a_bar_that_fails_closes_the_event_file(run):
    class Broken(Bars):
        def bar(self, label, total, done=0, **options):
            raise RuntimeError("no terminal")

    journal = Journal(run, Trackers(), Broken(), 0, 8)
    with pytest.raises(RuntimeError, match="terminal"):
        journal.__enter__()
    assert journal._scalars._file.closed
