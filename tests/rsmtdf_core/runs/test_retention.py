"""Retention of checkpoints, and the state of deleted ones after a kill."""

import os
import shutil

import pytest
import torch
from torch import nn

from rsmtdf_core.runs.checkpoint import (
    checkpoint_name,
    checkpoints_in,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from rsmtdf_core.runs.retention import (
    clear_leftovers,
    drop_old,
    keep_copy,
    keep_only,
    set_aside,
)


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 1, 2 and 3 in `all`."""
    torch.manual_seed(0)
    student, ema = nn.Linear(3, 2), nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(student.parameters(), lr=0.1)
    return [
        save_checkpoint(tmp_path / "all", student, ema, optimiser, {"step": step})
        for step in (1, 2, 3)
    ]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_latest_stay_and_copies_outlive_them(saved, tmp_path):
    keep_copy(saved[0], tmp_path / "best")
    drop_old(tmp_path / "all", 2)
    assert names(tmp_path / "all") == [checkpoint_name(2), checkpoint_name(3)]
    assert load_checkpoint(tmp_path / "best" / saved[0].name).state["step"] == 1


def test_only_those_named_stay(saved, tmp_path):
    keep_only(tmp_path / "all", [saved[1].name])
    assert names(tmp_path / "all") == [saved[1].name]


def test_files_are_copied_if_links_are_refused(saved, tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    keep_copy(saved[0], tmp_path / "best")
    kept = load_checkpoint(tmp_path / "best" / saved[0].name)
    assert kept.fingerprint == load_checkpoint(saved[0]).fingerprint


class Killed(BaseException):
    pass


def test_a_kill_while_copying_leaves_no_seemingly_complete_checkpoint(saved, tmp_path, monkeypatch):
    keep_copy(saved[0], tmp_path / "best")
    link, linked = os.link, []

    def link_once_then_die(*args):
        if linked:
            raise Killed
        linked.append(link(*args))

    monkeypatch.setattr(os, "link", link_once_then_die)
    with pytest.raises(Killed):
        keep_copy(saved[1], tmp_path / "best")
    assert [path.name for path in checkpoints_in(tmp_path / "best")] == [saved[0].name]
    monkeypatch.setattr(os, "link", link)
    clear_leftovers(tmp_path / "best")
    keep_copy(saved[1], tmp_path / "best")
    assert names(tmp_path / "best") == [saved[0].name, saved[1].name]


def test_a_kill_while_deleting_leaves_no_seemingly_damaged_checkpoint(saved, tmp_path, monkeypatch):
    def die(path, *_args, **_settings):
        if path.is_dir():
            next(path.iterdir()).unlink()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(Killed):
            drop_old(tmp_path / "all", 2)
    newest, warnings = newest_checkpoint(tmp_path / "all")
    assert newest.state["step"] == 3
    assert warnings == []
    assert len(checkpoints_in(tmp_path / "all")) == 2
    clear_leftovers(tmp_path / "all")
    assert len(names(tmp_path / "all")) == 2


def test_checkpoints_after_the_resumed_step_are_set_aside(saved, tmp_path):
    set_aside(tmp_path / "all", 1)
    assert [path.name for path in checkpoints_in(tmp_path / "all")] == [saved[0].name]
    assert f"damaged-{saved[2].name}" in names(tmp_path / "all")
    set_aside(tmp_path / "all", 3)
    assert [path.name for path in checkpoints_in(tmp_path / "all")] == [saved[0].name]
