"""Which checkpoints a run keeps, and from which of them it goes on."""

import shutil

import pytest

from pipeline.reporter import Silent
from pipeline.train.checkpoints import Keeper
from pipeline.train.run import train
from rsmtdf_core.runs.checkpoint import checkpoints_in, load_checkpoint
from rsmtdf_core.runs.folder import open_run

SUPERVISED = ("objective.method=supervised", "optimiser.epochs=3")


class Warned(Silent):
    def __init__(self):
        self.lines = []

    def warn(self, text):
        self.lines.append(text)


def damage(checkpoint):
    file = checkpoint / "student.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # it may be one file with the best checkpoint's
    file.write_bytes(content)


def steps_of(folder):
    return [int(path.name.removeprefix("step-")) for path in checkpoints_in(folder)]


@pytest.fixture
def whole(make_config):
    """A run whose best checkpoint is not among the latest, because it stops learning after the first epoch."""
    config = make_config(*SUPERVISED, "optimiser.lr=1e-12", "runtime.keep_checkpoints=2")
    run = open_run(train(config).run)
    assert steps_of(run.checkpoints) == [8, 12]
    assert steps_of(run.best) == [4]
    return config, run


@pytest.mark.parametrize(("damaged", "start"), [((12,), 8), ((12, 8), 4)])
def test_a_run_goes_on_from_the_newest_whole_checkpoint_even_a_best_one(whole, damaged, start):
    config, run = whole
    expected = load_checkpoint(run.checkpoints / "step-00000012").fingerprint
    lines = [line for line in run.read_metrics() if line.pop("seconds", True)]
    for step in damaged:
        damage(run.checkpoints / f"step-{step:08d}")
    reporter = Warned()
    messages = []
    reporter.say = messages.append
    train(config, resume=True, reporter=reporter)
    assert f"resuming at step {start} of 12" in messages
    warnings = [line for line in reporter.lines if "skipping a damaged checkpoint" in line]
    assert len(warnings) == len(damaged)
    assert all(f"step-{step:08d}" in line for step, line in zip(damaged, warnings, strict=True))
    assert load_checkpoint(run.checkpoints / "step-00000012").fingerprint == expected
    assert lines == [line for line in run.read_metrics() if line.pop("seconds", True)]
    assert steps_of(run.best) == [4]


def test_without_an_intact_checkpoint_a_run_restarts_with_a_warning(whole):
    config, run = whole
    expected = load_checkpoint(run.checkpoints / "step-00000012").fingerprint
    shutil.rmtree(run.best)
    for path in checkpoints_in(run.checkpoints):
        damage(path)
    reporter = Warned()
    train(config, resume=True, reporter=reporter)
    assert any("starting at step 0" in line for line in reporter.lines)
    assert load_checkpoint(run.checkpoints / "step-00000012").fingerprint == expected


def test_mid_epoch_checkpoints_neither_repeat_nor_move_a_validation(make_config):
    plain = train(make_config(*SUPERVISED, "name=plain")).run
    often = train(
        make_config(*SUPERVISED, "name=often", "runtime.checkpoint_every=1", "evaluation.every=1")
    ).run
    validated_steps = [
        [line["step"] for line in open_run(run).read_metrics() if "miou" in line]
        for run in (plain, often)
    ]
    assert validated_steps == [[3, 7, 11], [3, 7, 11]]
    assert steps_of(often / "checkpoints") == [11, 12]


def test_a_run_killed_before_it_deletes_old_checkpoints_deletes_them_when_it_resumes(
    make_config, monkeypatch
):
    config = make_config(*SUPERVISED, "runtime.keep_checkpoints=1")
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "drop_old", lambda _: None)
        run = open_run(train(config).run)
    assert steps_of(run.checkpoints) == [4, 8, 12]
    train(config, resume=True)
    assert steps_of(run.checkpoints) == [12]
