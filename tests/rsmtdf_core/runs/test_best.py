"""The best checkpoint is the one with the best validation, and damage to it never goes unnoticed."""

import shutil

import pytest
import torch
from torch import nn

from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.best import best_checkpoint, chosen_checkpoint
from rsmtdf_core.runs.checkpoint import load_checkpoint, save_checkpoint
from rsmtdf_core.runs.checkpoint_state import checkpoint_name
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.seals import write_sealed_json


@pytest.fixture
def run(tmp_path):
    run = RunFolder(tmp_path)
    write_sealed_json(run.marker, {"format": 1, "status": "finished"})
    return run


def save(folder, step):
    torch.manual_seed(step)
    student, ema = nn.Linear(2, 1), nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(student.parameters())
    return load_checkpoint(save_checkpoint(folder, student, ema, optimizer, {"step": step}))


def validate(run, scores):
    for step, miou in scores.items():
        run.log({"step": step - 1, "epoch": 0, "split": "val", "miou": miou})
    run.note_lines()


def damage(path):
    file = path / "ema.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_run_without_a_checkpoint_names_the_command_that_trains_it(run):
    with pytest.raises(RunError, match="no checkpoint") as caught:
        best_checkpoint(run)
    assert "--resume" in caught.value.remedy


def test_before_the_first_validation_the_newest_is_best(run):
    for folder, step in ((run.checkpoints, 4), (run.best, 6), (run.checkpoints, 5)):
        save(folder, step)
    assert best_checkpoint(run).state["step"] == 6


def test_the_best_score_wins_among_the_checkpoints_that_are_there(run):
    for step in (4, 5, 6):
        save(run.checkpoints, step)
    validate(run, {3: 0.9, 4: 0.5, 5: 0.7, 6: 0.6})
    assert best_checkpoint(run).state["step"] == 5
    shutil.rmtree(run.checkpoints / checkpoint_name(5))
    assert best_checkpoint(run).state["step"] == 6


def test_a_noted_checkpoint_is_checked_against_its_fingerprint(run):
    noted = save(run.best, 5)
    save(run.checkpoints, 7)
    run.note_best({5: noted.fingerprint}, ())
    assert best_checkpoint(run).fingerprint == noted.fingerprint
    run.note_best({5: "0" * 64}, ())
    with pytest.raises(RunError, match=r"not the one that run\.json names") as caught:
        best_checkpoint(run)
    assert str(run.checkpoints / checkpoint_name(7)) in caught.value.remedy


def test_a_damaged_one_is_refused_with_the_nearest_whole_one(run):
    checkpoints = {step: save(run.checkpoints, step) for step in (4, 5, 6, 9)}
    validate(run, {5: 0.7})
    damage(checkpoints[5].path)
    damage(checkpoints[6].path)
    with pytest.raises(RunError, match="damaged") as caught:
        best_checkpoint(run, option="--from")
    assert caught.value.remedy.endswith(f"--from {checkpoints[4].path}")
    damage(checkpoints[4].path)
    damage(checkpoints[9].path)
    with pytest.raises(RunError) as caught:
        best_checkpoint(run)
    assert "rsmtdf train" in caught.value.remedy


@pytest.fixture
def trained(run):
    """A run with its latest checkpoints 5, 6 and 9, and its best 4 and 6."""
    for folder, steps in ((run.checkpoints, (5, 6, 9)), (run.best, (4, 6))):
        for step in steps:
            save(folder, step)
    validate(run, {4: 0.7, 5: 0.1, 6: 0.5, 9: 0.2})
    run.note_best({4: load_checkpoint(run.best / checkpoint_name(4)).fingerprint}, run.validations)
    return run


@pytest.mark.parametrize(
    ("choice", "step"),
    [(None, 4), ("best", 4), ("last", 9), ("5", 5), (6, 6), ("0000004", 4)],
)
def test_a_checkpoint_is_chosen_by_word_or_step(trained, choice, step):
    assert chosen_checkpoint(trained, choice).state["step"] == step


def test_a_checkpoint_is_chosen_by_its_folder(trained):
    path = trained.best / checkpoint_name(6)
    assert chosen_checkpoint(trained, path).path == path
    assert chosen_checkpoint(trained, str(path)).path == path


@pytest.mark.parametrize("choice", ["7", 7, 0, "newest", "step-00000007", "elsewhere/step-5"])
def test_a_checkpoint_that_does_not_exist_lists_those_that_do(trained, choice):
    with pytest.raises(RunError, match="checkpoint") as caught:
        chosen_checkpoint(trained, choice)
    assert caught.value.remedy.endswith("that exist: 4 (best), 5, 6, 9")


@pytest.mark.parametrize("choice", ["best", "last", "3"])
def test_without_any_checkpoint_the_remedy_trains(run, choice):
    with pytest.raises(RunError, match="no checkpoint") as caught:
        chosen_checkpoint(run, choice)
    assert "--resume" in caught.value.remedy


def test_a_damaged_copy_is_passed_over_and_the_last_never_replaced_by_an_older_one(trained):
    damage(trained.checkpoints / checkpoint_name(6))
    assert chosen_checkpoint(trained, 6).path.parent == trained.best
    damage(trained.checkpoints / checkpoint_name(9))
    with pytest.raises(RunError, match="the checkpoint of step 9 is damaged") as caught:
        chosen_checkpoint(trained, "last")
    assert "--checkpoint" in caught.value.remedy
