import os
import shutil

import pytest

from rsmtdf_core.cache.catalogue import disk_bytes, find_entry, read_catalogue
from rsmtdf_core.cache.usage import begin_run, pin
from rsmtdf_core.errors import ConfigError, StoreNotFoundError
from tests.caches import make_store


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def only(cache):
    (entry,) = read_catalogue(cache).stores
    return entry


def test_a_committed_store_is_listed_with_its_facts(cache):
    store = make_store(cache, random_weights=True)
    entry = only(cache)
    assert entry.path == store.path
    assert entry.key == f"{store.group.path.name}/{store.path.name}"
    assert (entry.teacher, entry.codec, entry.state) == ("tiny", "fp16", "committed")
    assert (entry.views, entry.rows, entry.seconds) == (18, 18, 1.5)
    assert entry.label == "tiny (RANDOM WEIGHTS)"
    assert entry.certificate == store.read_commit().certificate
    assert entry.last_used == (store.path / "commit.json").stat().st_mtime


def test_the_bytes_are_those_on_the_disk(cache):
    store = make_store(cache)
    with (store.path / "sparse").open("wb") as file:
        file.truncate(2**30)
    assert sum(f.stat().st_size for f in store.path.rglob("*.json")) < only(cache).bytes < 2**25


def test_an_uncommitted_store_and_one_without_metadata_and_records_are_unfinished(cache):
    store = make_store(cache, commit=False)
    assert (only(cache).state, only(cache).views) == ("unfinished", 0)
    (store.path / "zarr.json").unlink()
    shutil.rmtree(store.path / "c")
    (store.path / "ledger.jsonl").unlink()
    assert only(cache).state == "unfinished"


def test_records_without_metadata_are_a_damaged_store(cache):
    store = make_store(cache, commit=False)
    (store.path / "zarr.json").unlink()
    assert only(cache).state == "damaged"


@pytest.mark.parametrize("name", ["zarr.json", "commit.json", "parameters.safetensors"])
def test_a_damaged_store_is_listed_with_its_problem(cache, name):
    store = make_store(cache)
    make_store(cache, "other")
    (store.path / name).write_bytes(b"{}")
    states = {
        entry.teacher: (entry.state, bool(entry.problem)) for entry in read_catalogue(cache).stores
    }
    assert states == {"tiny": ("damaged", True), "other": ("committed", False)}


def test_a_damaged_group_makes_its_stores_damaged_and_no_other(cache):
    store = make_store(cache)
    make_store(cache, seed=1)
    (store.group.path / "views.npy").write_bytes(b"")
    states = {
        entry.group == store.group.path.name: entry.state for entry in read_catalogue(cache).stores
    }
    assert states == {True: "damaged", False: "committed"}


def test_runs_and_pins_are_listed_and_a_run_is_a_use(cache, tmp_path):
    store = make_store(cache)
    os.utime(store.path / "commit.json", (1000, 1000))
    assert only(cache).last_used == 1000
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    begin_run(cache, run, [store.path])
    pin(cache, store.group.path.name, "all of it")
    entry = only(cache)
    assert [run_entry.run for run_entry in entry.runs] == [str(run)]
    assert [pin.note for pin in entry.pins] == ["all of it"]
    assert entry.last_used == entry.runs[0].began
    shutil.rmtree(run)
    assert only(cache).runs == ()


def test_foreign_files_are_named_and_not_followed(cache, tmp_path):
    store = make_store(cache)
    outside = make_store(tmp_path / "elsewhere", seed=1)
    (cache / outside.group.path.name).symlink_to(outside.group.path)
    (store.group.path / "link-0123456789ab-fp16").symlink_to(outside.path)
    (store.group.path / "notes").mkdir()
    (cache / "README").write_text("mine")
    (cache / ".trash-1").mkdir()
    catalogue = read_catalogue(cache)
    assert [entry.path for entry in catalogue.stores] == [store.path]
    names = {path.name for path in catalogue.foreign}
    assert names == {outside.group.path.name, "link-0123456789ab-fp16", "notes", "README"}


def test_links_do_not_add_to_the_bytes(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 2**20)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "big")
    assert disk_bytes(tmp_path / "in") < 2**19
    assert disk_bytes(tmp_path / "gone") == 0


def test_reading_a_catalogue_writes_no_file(cache):
    make_store(cache)
    before = sorted(cache.rglob("*"))
    read_catalogue(cache)
    assert sorted(cache.rglob("*")) == before


def test_a_missing_cache_is_reported(tmp_path):
    with pytest.raises(StoreNotFoundError, match="not a cache"):
        read_catalogue(tmp_path / "none")


def test_a_store_is_found_by_teacher_name_start_key_and_path(cache):
    store = make_store(cache)
    make_store(cache, "other")
    catalogue = read_catalogue(cache)
    for text in ("tiny", store.path.name, store.path.name[:7], only_key(store), str(store.path)):
        assert find_entry(catalogue, text).path == store.path


def only_key(store):
    return f"{store.group.path.name}/{store.path.name}"


def test_an_ambiguous_word_lists_the_candidates(cache):
    stores = make_store(cache), make_store(cache, seed=1)
    with pytest.raises(ConfigError, match="may mean 2 stores") as caught:
        find_entry(read_catalogue(cache), "tiny")
    assert all(only_key(store) in str(caught.value) for store in stores)


def test_an_unknown_word_lists_the_stores(cache):
    store = make_store(cache)
    with pytest.raises(StoreNotFoundError, match=store.path.name):
        find_entry(read_catalogue(cache), "nothing")
