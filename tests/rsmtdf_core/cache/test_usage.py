import json
import os
import shutil
from dataclasses import replace

import pytest

from rsmtdf_core.cache import usage
from rsmtdf_core.cache.usage import begin_run, end_run, pin, pins, run_path, runs, store_key, unpin
from rsmtdf_core.errors import StoreDamagedError, StoreNotFoundError

GROUP = "views-0123456789abcdef"
STORE = f"{GROUP}/dino-0123456789ab-transform-0.99"


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "cache" / STORE).mkdir(parents=True)
    return tmp_path / "cache"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return folder


@pytest.mark.parametrize("target", [GROUP, STORE])
def test_a_pin_is_found_until_it_is_taken_away(cache, target):
    pin(cache, target, "for the paper")
    assert [(pinned.target, pinned.note) for pinned in pins(cache)] == [(target, "for the paper")]
    unpin(cache, target)
    assert pins(cache) == ()


def test_a_second_pin_takes_the_new_note(cache):
    pin(cache, STORE, "old")
    pin(cache, STORE, "new")
    assert [pinned.note for pinned in pins(cache)] == ["new"]


def test_a_pin_covers_its_store_and_a_groups_pin_all_of_them(cache):
    of_store, of_group = pin(cache, STORE), pin(cache, GROUP)
    assert of_store.covers(STORE)
    assert not of_store.covers(f"{STORE}.1")
    assert of_group.covers(STORE)
    assert not of_group.covers(f"{GROUP[:-1]}0/dino-0123456789ab-fp16")


@pytest.mark.parametrize(
    "target", ["views-0", f"{GROUP}/../x", f"{GROUP}/none-0123456789ab-fp16", "/etc", ""]
)
def test_missing_stores_cannot_be_pinned(cache, target):
    with pytest.raises(StoreNotFoundError, match="no such group or store to pin"):
        pin(cache, target)


def test_stores_without_a_pin_cannot_be_unpinned(cache):
    with pytest.raises(StoreNotFoundError, match="is not pinned"):
        unpin(cache, STORE)


def test_a_damaged_pin_still_keeps_its_store(cache):
    pin(cache, STORE, "mine")
    (cache / "pins" / f"{STORE.replace('/', '+')}.json").write_bytes(b"{")
    (kept,) = pins(cache)
    assert kept.covers(STORE)
    assert "damaged" in kept.note


def test_files_that_are_no_pins_are_passed_over(cache):
    pin(cache, STORE)
    (cache / "pins" / "note.json").write_text("{}")
    assert len(pins(cache)) == 1


def test_a_run_locks_its_stores_until_it_ends(cache, run):
    assert begin_run(cache, run, [cache / STORE, cache / STORE]) is None
    (entry,) = runs(cache)
    assert (entry.run, entry.stores, entry.finished) == (str(run), (STORE,), False)
    assert entry.locks
    assert end_run(cache, run) is None
    (entry,) = runs(cache)
    assert entry.finished
    assert not entry.locks
    assert entry.last_used == entry.ended >= entry.began


def test_a_resumed_run_locks_again_under_the_same_entry(cache, run):
    begin_run(cache, run, [cache / STORE])
    end_run(cache, run)
    begin_run(cache, run, [cache / STORE])
    assert [entry.locks for entry in runs(cache)] == [True]


def test_a_deleted_run_locks_no_store(cache, run):
    begin_run(cache, run, [cache / STORE])
    shutil.rmtree(run)
    (entry,) = runs(cache)
    assert entry.gone
    assert not entry.locks


def test_a_folder_without_its_marker_is_no_run(cache, run):
    begin_run(cache, run, [cache / STORE])
    (run / "run.json").unlink()
    assert runs(cache)[0].gone


def test_a_new_run_at_the_same_path_is_not_taken_for_the_old_one(cache, run):
    begin_run(cache, run, [cache / STORE])
    run.rename(run.with_name("moved"))
    run.mkdir()
    (run / "run.json").write_text("{}")
    begin_run(cache, run, [])
    assert sorted((entry.gone, entry.stores) for entry in runs(cache)) == [
        (False, ()),
        (True, (STORE,)),
    ]


def test_a_run_on_another_machine_is_never_reported_as_deleted(cache, run):
    begin_run(cache, run, [cache / STORE])
    shutil.rmtree(run)
    assert replace(runs(cache)[0], host="elsewhere").locks


def test_ending_an_unregistered_run_has_no_effect(cache, run):
    assert end_run(cache, run) is None
    assert runs(cache) == ()


def test_a_cache_that_cannot_be_written_gives_a_warning_and_no_error(cache, run, monkeypatch):
    def refuse(path, value):
        raise OSError(30, os.strerror(30), str(path))

    monkeypatch.setattr(usage, "write_json", refuse)
    warning = begin_run(cache, run, [cache / STORE])
    assert "Read-only file system" in warning
    assert "gc" in warning
    assert runs(cache) == ()


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}'])
def test_a_damaged_entry_of_a_run_is_an_error_with_a_remedy(cache, run, damage):
    begin_run(cache, run, [cache / STORE])
    path = run_path(cache, runs(cache)[0])
    path.write_text(damage)
    with pytest.raises(StoreDamagedError, match="the stores it uses are unknown") as caught:
        runs(cache)
    assert caught.value.where == str(path)
    assert caught.value.remedy == f"rsmtdf cache repair {cache}"


def test_a_run_whose_entry_is_damaged_ends_with_a_warning(cache, run):
    begin_run(cache, run, [cache / STORE])
    run_path(cache, runs(cache)[0]).write_text("{")
    warning = end_run(cache, run)
    assert f"rsmtdf cache repair {cache}" in warning


@pytest.mark.parametrize(("name", "read"), [("pins", pins), ("runs", runs)])
def test_a_file_at_the_path_of_the_folder_is_an_error_with_a_remedy(cache, name, read):
    (cache / name).write_text("x")
    with pytest.raises(StoreDamagedError, match="the stores in use are unknown") as caught:
        read(cache)
    assert caught.value.where == str(cache / name)
    assert caught.value.remedy == f"rsmtdf cache repair {cache}"


def test_every_changed_field_of_a_runs_entry_is_found(cache, run):
    begin_run(cache, run, [cache / STORE])
    path = run_path(cache, runs(cache)[0])
    written = json.loads(path.read_text())
    for name in written:
        path.write_text(json.dumps({**written, name: "changed"}))
        with pytest.raises(StoreDamagedError):
            runs(cache)


def test_a_stores_key_is_independent_of_the_caches_path(cache):
    assert store_key(cache / STORE) == STORE
