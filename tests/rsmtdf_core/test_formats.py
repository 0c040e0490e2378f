"""Each kind of file has a separate format number; earlier files are migrated, or refused by the name of their kind."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import pipeline.cache.transfer.listing as listing
import pipeline.exchange.export as export
import pipeline.pixel_store as pixels
import pipeline.predict.record as predict
import rsmtdf_core.cache.usage as usage
import rsmtdf_core.runs.checkpoint_state as checkpoint
import rsmtdf_core.runs.folder as folder
import rsmtdf_core.store.commit as commit
import rsmtdf_core.store.group as group
import rsmtdf_core.store.metadata as metadata
from rsmtdf_core.errors import RunError, StoreDamagedError, StoreMismatchError
from rsmtdf_core.formats import FileFormat, seal
from rsmtdf_core.runs.checkpoint import save_checkpoint
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from tests.caches import make_store

PATH = Path("file.json")
KINDS = (
    (metadata, "FORMAT"),
    (group, "FORMAT"),
    (group, "SCENES_FORMAT"),
    (commit, "FORMAT"),
    (pixels, "FORMAT"),
    (usage, "PIN_FORMAT"),
    (usage, "RUN_FORMAT"),
    (listing, "FORMAT"),
    (folder, "FORMAT"),
    (folder, "LOCK_FORMAT"),
    (checkpoint, "FORMAT"),
    (export, "FORMAT"),
    (predict, "FORMAT"),
)
THIRD = FileFormat(
    "note",
    3,
    {
        1: lambda values: {"text": values["text"], "lines": 1},
        2: lambda values: {**values, "lines": values["lines"] * 10},
    },
)


def test_every_kind_has_a_separate_number_and_name():
    formats = [getattr(module, name) for module, name in KINDS]
    assert len({id(each) for each in formats}) == len({each.noun for each in formats}) == len(KINDS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"format": 3, "text": "a", "lines": 7}, {"format": 3, "text": "a", "lines": 7}),
        ({"format": 2, "text": "a", "lines": 7}, {"format": 3, "text": "a", "lines": 70}),
        ({"format": 1, "text": "a"}, {"format": 3, "text": "a", "lines": 10}),
    ],
)
def test_earlier_files_become_files_of_today(values, expected):
    before = dict(values)
    assert THIRD.current(values, PATH) == expected
    assert THIRD.unsealed(seal(values), PATH) == expected
    assert values == before


@pytest.mark.parametrize("number", [4, 0, -1, None, "3", True, 2.0])
def test_other_numbers_are_refused_by_the_name_of_the_kind(number):
    with pytest.raises(StoreMismatchError) as refusal:
        THIRD.unsealed(seal({"format": number, "text": "a"}), PATH)
    assert "note" in refusal.value.what
    assert repr(number) in refusal.value.what
    assert refusal.value.where == str(PATH)
    assert "rsmtdf" in str(refusal.value.remedy)


def test_a_file_that_is_too_early_names_the_readable_formats():
    late = FileFormat("note", 5, {4: dict, 3: dict})
    assert late.current({"format": 3}, PATH) == {"format": 5}
    with pytest.raises(RunError, match=r"note has format 2.*expected 3 to 5"):
        late.current({"format": 2}, PATH, RunError)


def test_a_change_is_found_before_the_number_is_looked_at():
    sealed = THIRD.sealed({"text": "a"})
    assert THIRD.unsealed(sealed, PATH) == {"format": 3, "text": "a"}
    for wrong in ({**sealed, "text": "b"}, {**sealed, "format": 9}, {"format": 3}, [], None):
        with pytest.raises(StoreDamagedError):
            THIRD.unsealed(wrong, PATH)


def test_a_new_number_of_one_kind_leaves_the_others_as_they_are(tmp_path, monkeypatch):
    store = make_store(tmp_path)
    written = store.read_commit()
    later = FileFormat("commit", 2, {1: lambda values: {**values, "seconds": 99.0}})
    monkeypatch.setattr(commit, "FORMAT", later)
    opened = FeatureStore.open(store.path, ViewGroup.at(store.path.parent))
    assert opened.read_commit().seconds == 99.0
    monkeypatch.setattr(commit, "FORMAT", FileFormat("commit", 2))
    with pytest.raises(StoreMismatchError, match="the commit has format 1"):
        opened.read_commit()
    commit.write_commit(store.path, written)
    assert json.loads((store.path / "commit.json").read_text())["format"] == 2


@pytest.mark.parametrize(
    ("module", "name", "noun"),
    [(metadata, "FORMAT", "store"), (group, "FORMAT", "group"), (group, "SCENES_FORMAT", "scenes")],
)
def test_a_store_of_another_format_is_refused_by_the_file_that_has_it(
    tmp_path, monkeypatch, module, name, noun
):
    store = make_store(tmp_path)
    monkeypatch.setattr(module, name, FileFormat(f"{noun} of tomorrow", 2))
    with pytest.raises(StoreMismatchError, match=f"{noun} of tomorrow has format 1"):
        FeatureStore.open(store.path, ViewGroup.at(store.path.parent))


def test_a_checkpoint_of_another_format_is_refused_and_of_an_earlier_one_migrated(
    tmp_path, monkeypatch
):
    student = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(student.parameters())
    save_checkpoint(tmp_path, student, student, optimiser, {"step": 3})
    path = tmp_path / "step-00000003"
    monkeypatch.setattr(checkpoint, "FORMAT", FileFormat("checkpoint", 2))
    with pytest.raises(RunError, match="the checkpoint has format 1"):
        checkpoint.read_state(path)
    migrations = {1: lambda values: {**values, "epoch": 8}}
    monkeypatch.setattr(checkpoint, "FORMAT", FileFormat("checkpoint", 2, migrations))
    state, _ = checkpoint.read_state(path)
    assert (state["format"], state["epoch"]) == (2, 8)
