"""Damaged pins and entries of runs never cost a store: everything that they may have kept is pinned."""

import pytest

from pipeline.cache.repair.changes import Changes
from pipeline.cache.repair.usage import repair_usage
from rsmtdf_core.cache.usage import PINS, RUNS, begin_run, pin, pin_path, pins, store_key
from tests.caches import make_store


@pytest.fixture
def cache(tmp_path):
    make_store(tmp_path / "cache", "vit")
    make_store(tmp_path / "cache", "cnn")
    return tmp_path / "cache"


def stores(cache):
    return sorted(path for path in cache.glob("views-*/*-fp16") if path.is_dir())


def repaired(cache, *, dry=False):
    changes = Changes(cache, dry)
    repair_usage(changes)
    return changes.actions


def pinned(cache):
    return {entry.target: entry.note for entry in pins(cache)}


def test_sound_pins_and_runs_are_left_alone(cache, tmp_path):
    target = store_key(stores(cache)[0])
    pin(cache, target, "paper")
    (tmp_path / "run").mkdir()
    begin_run(cache, tmp_path / "run", stores(cache))
    assert repaired(cache) == []
    assert pinned(cache) == {target: "paper"}


@pytest.mark.parametrize("dry", [False, True])
def test_a_damaged_pin_still_keeps_its_store(cache, dry):
    first, second = map(store_key, stores(cache))
    pin(cache, first, "paper")
    pin(cache, second, "thesis")
    pin_path(cache, first).write_text("damaged")
    (action,) = repaired(cache, dry=dry)
    assert action.kind == "set aside"
    assert "note" in action.loss
    assert pinned(cache)[second] == "thesis"
    assert first in pinned(cache)
    assert (pinned(cache)[first] == "repaired") is not dry


@pytest.mark.parametrize("dry", [False, True])
def test_a_damaged_entry_of_a_run_pins_every_store(cache, tmp_path, dry):
    pin(cache, store_key(stores(cache)[0]), "paper")
    (tmp_path / "run").mkdir()
    begin_run(cache, tmp_path / "run", stores(cache)[:1])
    (entry,) = (cache / RUNS).glob("*.json")
    entry.write_text("damaged")
    (action,) = repaired(cache, dry=dry)
    assert "pinned" in action.loss
    notes = pinned(cache)
    assert notes[store_key(stores(cache)[0])] == "paper", "a note that is there stays"
    assert set(notes) == set(map(store_key, stores(cache)[: 1 if dry else 2]))


@pytest.mark.parametrize("name", [PINS, RUNS])
def test_a_file_at_the_path_of_the_folder_pins_every_store(cache, name):
    (cache / name).write_text("damaged")
    (action,) = repaired(cache)
    assert action.path == cache / name
    assert set(pinned(cache)) == set(map(store_key, stores(cache)))
    assert repaired(cache) == []
