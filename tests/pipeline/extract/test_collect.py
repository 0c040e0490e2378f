import fcntl
import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline.extract.collect import STALE_SECONDS, Limits, collect, parse_age, parse_size
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.cache.usage import begin_run, end_run, pin, runs, store_key
from rsmtdf_core.errors import ConfigError, StoreError
from tests.caches import make_store

DAY = 86400


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def three(cache):
    """Stores last used 30, 20 and 10 days ago, of one group."""
    stores = [make_store(cache, name) for name in ("old", "middle", "young")]
    for store, days in zip(stores, (30, 20, 10), strict=True):
        used(store, days)
    return stores


def used(store, days):
    when = time.time() - days * DAY
    os.utime(store.path / "commit.json", (when, when))


def age(path, seconds=STALE_SECONDS + 60):
    when = time.time() - seconds
    os.utime(path, (when, when))


def left(cache):
    return {entry.teacher for entry in read_catalogue(cache).stores}


def register(tmp_path, cache, store, name="run"):
    run = tmp_path / name
    run.mkdir()
    (run / "run.json").write_text("{}")
    begin_run(cache, run, [store.path])
    return run


def test_without_limits_no_store_is_deleted(cache, three):
    report = collect(cache, Limits())
    assert (report.deleted, report.kept, report.freed) == ((), (), 0)
    assert left(cache) == {"old", "middle", "young"}


def test_stores_older_than_the_limit_go(cache, three):
    report = collect(cache, Limits(older_than=15 * DAY))
    assert left(cache) == {"young"}
    assert [entry.path for entry in report.deleted] == [three[0].path, three[1].path]
    assert report.freed == sum(entry.bytes for entry in report.deleted) > 0
    assert report.left == read_catalogue(cache).stores[0].bytes


def test_the_longest_unused_go_until_the_rest_fits(cache, three):
    sizes = {entry.teacher: entry.bytes for entry in read_catalogue(cache).stores}
    report = collect(cache, Limits(max_bytes=sizes["middle"] + sizes["young"]))
    assert left(cache) == {"middle", "young"}
    assert report.left <= sizes["middle"] + sizes["young"]


def test_stores_within_the_limit_stay(cache, three):
    assert collect(cache, Limits(max_bytes=2**40)).deleted == ()


def test_a_run_makes_a_store_young_again(cache, three, tmp_path):
    run = register(tmp_path, cache, three[0])
    end_run(cache, run)
    collect(cache, Limits(older_than=15 * DAY))
    assert left(cache) == {"old", "young"}


def test_a_dry_run_reports_the_same_and_changes_no_file(cache, three):
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    planned = collect(cache, Limits(older_than=15 * DAY, dry=True))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    done = collect(cache, Limits(older_than=15 * DAY))
    assert [entry.path for entry in planned.deleted] == [entry.path for entry in done.deleted]
    assert (planned.freed, planned.left) == (done.freed, done.left)


def test_a_pinned_store_and_a_pinned_groups_stores_are_kept(cache, three, tmp_path):
    pin(cache, store_key(three[0].path), "paper")
    report = collect(cache, Limits(max_bytes=0))
    assert left(cache) == {"old"}
    assert [(entry.path, entry.why) for entry in report.kept] == [(three[0].path, "pinned: paper")]
    pin(cache, three[0].group.path.name)
    make_store(cache, "new")
    collect(cache, Limits(max_bytes=0))
    assert left(cache) == {"old", "new"}


def test_a_store_that_an_unfinished_run_reads_is_kept_until_it_ends(cache, three, tmp_path):
    run = register(tmp_path, cache, three[0])
    report = collect(cache, Limits(max_bytes=0))
    assert left(cache) == {"old"}
    assert str(run) in report.kept[0].why
    end_run(cache, run)
    collect(cache, Limits(max_bytes=0))
    assert left(cache) == set()


def test_the_entry_of_a_deleted_run_is_removed_and_keeps_no_store(cache, three, tmp_path):
    kept = register(tmp_path, cache, three[0], "kept")
    shutil.rmtree(register(tmp_path, cache, three[1], "deleted"))
    collect(cache, Limits(max_bytes=0))
    assert left(cache) == {"old"}
    assert [entry.run for entry in runs(cache)] == [str(kept)]


@pytest.mark.parametrize("dry", [True, False])
def test_a_store_that_is_being_written_is_kept(cache, three, dry):
    handle = os.open(three[0].path / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        report = collect(cache, Limits(max_bytes=0, dry=dry))
        assert [entry.path for entry in report.kept] == [three[0].path]
        assert "writing" in report.kept[0].why
        assert "old" in left(cache)
    finally:
        os.close(handle)


def test_a_store_vanishes_whole_before_its_first_file_is_deleted(cache, three, monkeypatch):
    def killed(path):
        assert not three[0].path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.extract.collect.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        collect(cache, Limits(older_than=25 * DAY))
    assert left(cache) == {"middle", "young"}
    trash = [path for path in three[0].group.path.iterdir() if path.name.startswith(".trash-")]
    assert len(trash) == 1
    monkeypatch.undo()
    report = collect(cache, Limits())
    assert [entry.path for entry in report.deleted] == trash
    assert not trash[0].exists()


def test_uncommitted_and_damaged_stores_go_only_when_asked_for(cache, three):
    make_store(cache, "half", commit=False)
    (three[1].path / "zarr.json").write_text("{}")
    collect(cache, Limits(max_bytes=0, dry=True))
    collect(cache, Limits(older_than=0))
    assert left(cache) == {"middle", "half"}
    report = collect(cache, Limits(unfinished=True))
    assert {entry.why for entry in report.deleted} >= {"unfinished", "damaged"}
    assert left(cache) == set()


def test_stale_temporary_files_go_and_fresh_ones_stay(cache, three):
    stale = three[0].path / "c" / "0" / "0" / ("0.tmp-" + "0a" * 16)
    fresh = three[0].group.path / ("views.npy.tmp-" + "b" * 32)
    other = three[0].path / "mine.tmp-x"
    for path in (stale, fresh, other):
        path.write_bytes(b"x")
    age(stale)
    age(other)
    report = collect(cache, Limits())
    assert [entry.path for entry in report.deleted] == [stale]
    assert fresh.exists()
    assert other.exists()


def test_a_group_goes_with_its_last_store(cache, three):
    report = collect(cache, Limits(older_than=0))
    assert not three[0].group.path.exists()
    assert report.deleted[-1].path == three[0].group.path


def test_an_empty_group_goes_when_it_is_old_unless_pinned_or_foreign(cache, three):
    collect(cache, Limits(older_than=0))
    groups = [make_store(cache, seed=seed).group.path for seed in range(4)]
    for group in groups:
        shutil.rmtree(next(group.glob("tiny-*")))
    pin(cache, groups[1].name)
    (groups[2] / "notes").mkdir()
    for group in groups[:3]:
        age(group)
    collect(cache, Limits())
    assert [group.exists() for group in groups] == [False, True, True, True]


def test_links_are_neither_followed_nor_deleted(cache, three, tmp_path):
    outside = make_store(tmp_path / "elsewhere", seed=5)
    temporary = outside.path / ("x.tmp-" + "c" * 32)
    temporary.write_bytes(b"x")
    age(temporary)
    link = cache / outside.group.path.name
    link.symlink_to(outside.group.path)
    (cache / ".trash-link").symlink_to(outside.path)
    collect(cache, Limits(max_bytes=0, unfinished=True))
    assert link.is_symlink()
    assert temporary.exists()
    assert (outside.path / "commit.json").exists()


def test_a_damaged_registry_stops_the_collection(cache, three, tmp_path):
    register(tmp_path, cache, three[0])
    next((cache / "runs").glob("*.json")).write_text("{}")
    with pytest.raises(StoreError, match="the stores it uses are unknown"):
        collect(cache, Limits(max_bytes=0))
    assert len(list(three[0].group.path.glob("*/commit.json"))) == 3


def test_a_cache_that_cannot_be_changed_is_an_error(cache, three, monkeypatch):
    def refuse(self, target):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match="Read-only file system"):
        collect(cache, Limits(max_bytes=0))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("200G", 200 * 2**30),
        ("1.5T", 3 * 2**39),
        ("500 MB", 500 * 10**6),
        ("500 MiB", 500 * 2**20),
        ("12k", 12 * 2**10),
        ("7", 7),
        ("7 B", 7),
        ("0", 0),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1X", "1GG", "1e9", "1,5G", "nan", "10iB"])
def test_invalid_sizes_are_refused(text):
    with pytest.raises(ConfigError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * DAY), ("12h", 43200), ("2 w", 14 * DAY), ("1.5m", 90)]
)
def test_ages_are_read(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "3y", "1M", "3 days"])
def test_invalid_ages_are_refused(text):
    with pytest.raises(ConfigError, match="is not an age"):
        parse_age(text)
