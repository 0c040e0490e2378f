"""What an import brings, whenever it is killed and whatever is here already or damaged there."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cache.transfer.importing import import_stores
from pipeline.cache.transfer.remote import Remote
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreError,
    StoreMismatchError,
    StoreNotFoundError,
)
from rsmtdf_core.store.metadata import write_metadata
from tests.caches import make_store, tree
from tests.pipeline.cache.transfer.helpers import (
    exported,
    numbered,
    served,
    states,
    stopping,
    without_listing,
)


def test_a_range_of_views_is_imported_and_the_rest_later(cache, shelf, copy):
    store = make_store(cache, views=4)
    exported(store, to=shelf)
    first = import_stores(str(shelf), copy, views=range(1))
    assert numbered(store, [0]) <= served(copy) < numbered(store, range(4))
    rest = import_stores(str(shelf), copy, views=range(1, 4))
    assert served(copy) == numbered(store, range(4))
    assert first.files + rest.files == len(list((store.path / "c").iterdir()))
    (entry,) = read_catalogue(copy).stores
    assert entry.seconds == pytest.approx(1.5)
    assert import_stores(str(shelf), copy).files == 0


def test_a_teachers_stores_alone_are_imported(cache, shelf, copy):
    exported(make_store(cache), make_store(cache, "other"), to=shelf)
    import_stores(str(shelf), copy, teacher="other")
    assert states(copy) == {"other": "committed"}
    with pytest.raises(StoreNotFoundError, match="other, tiny"):
        import_stores(str(shelf), copy, teacher="none")
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_missing_views_are_reported(cache, shelf, copy):
    store = make_store(cache)
    with pytest.raises(StoreNotFoundError, match="no views of these numbers"):
        exported(store, to=shelf, views=range(7, 9))
    exported(store, to=shelf)
    with pytest.raises(StoreNotFoundError, match="no views of these numbers"):
        import_stores(str(shelf), copy, views=range(7, 9))
    assert not copy.exists()


def test_an_import_killed_at_any_file_shows_no_half_store_and_goes_on(
    cache, shelf, copy, monkeypatch
):
    exported(make_store(cache), make_store(cache, "other"), to=shelf)
    get = Remote.get
    files = len(tree(shelf))
    for stop in range(files):
        folder = copy / str(stop)
        monkeypatch.setattr(Remote, "get", stopping(get, stop))
        with pytest.raises(RuntimeError, match="killed"):
            import_stores(str(shelf), folder)
        if folder.exists():
            for entry in read_catalogue(folder).stores:
                assert entry.state != "damaged"
                assert entry.state == "unfinished" or entry.store.verify() == ()
            assert not list(folder.rglob("*.tmp-*"))
        monkeypatch.undo()
        import_stores(str(shelf), folder)
        assert tree(folder) == tree(cache)


@pytest.mark.parametrize("stop", range(12))
def test_an_import_killed_at_any_write_goes_on(cache, shelf, copy, monkeypatch, stop):
    exported(make_store(cache), to=shelf)

    def inside(_source, target):
        return copy in Path(target).parents

    monkeypatch.setattr(Path, "replace", stopping(Path.replace, stop, inside))
    with pytest.raises(RuntimeError, match="killed"):
        import_stores(str(shelf), copy)
    assert "committed" not in states(copy).values()
    monkeypatch.undo()
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_files_fetched_before_a_kill_are_not_fetched_again(cache, shelf, copy, monkeypatch):
    store = make_store(cache)
    exported(store, to=shelf)
    import_stores(str(shelf), copy)
    here = copy / store.path.relative_to(cache)
    for name in ("commit.json", "ledger.jsonl"):
        (here / name).unlink()
        (here / f"{name}.copy").unlink()
    report = import_stores(str(shelf), copy)
    assert (report.files, report.there) == (0, 5)
    assert tree(copy) == tree(cache)


def test_a_flipped_byte_in_any_file_is_found_on_arrival(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    for name in without_listing(shelf):
        path, data = shelf / name, (shelf / name).read_bytes()
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
        with pytest.raises(StoreDamagedError, match="differs from the exported one") as caught:
            import_stores(str(shelf), copy)
        assert name in caught.value.where
        assert not copy.exists() or "committed" not in states(copy).values()
        path.write_bytes(data)
        import_stores(str(shelf), copy)
        assert tree(copy) == tree(cache)
        shutil.rmtree(copy)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", None])
def test_a_shard_of_another_size_or_none_is_found(cache, shelf, copy, change):
    store = make_store(cache)
    exported(store, to=shelf)
    path = shelf / store.shard_path(1).relative_to(cache)
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    with pytest.raises(StoreDamagedError if change else StoreNotFoundError):
        import_stores(str(shelf), copy)
    assert states(copy) == {"tiny": "unfinished"}


def test_a_link_out_of_a_local_export_is_not_read(cache, shelf, copy, tmp_path):
    store = make_store(cache)
    exported(store, to=shelf)
    path = shelf / store.shard_path(0).relative_to(cache)
    shutil.move(path, tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreDamagedError, match="leads out"):
        import_stores(str(shelf), copy)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_link_in_the_cache_is_not_written_through(cache, shelf, copy, tmp_path, depth):
    store = make_store(cache)
    exported(store, to=shelf)
    outside = tmp_path / "outside"
    outside.mkdir()
    target = copy / store.group.path.name
    if depth == 2:
        import_stores(str(shelf), copy)
        target = copy / store.path.relative_to(cache)
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(outside)
    with pytest.raises(StoreMismatchError, match="symbolic link"):
        import_stores(str(shelf), copy)
    assert list(outside.iterdir()) == []


def test_an_older_export_removes_no_record_of_a_longer_store(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    make_store(copy)
    make_store(copy, views=4)
    before = tree(copy)
    assert import_stores(str(shelf), copy).files == 0
    assert tree(copy) == before


def test_a_damaged_shard_is_mended_from_the_export(cache, shelf, copy):
    store = make_store(cache)
    exported(store, to=shelf)
    import_stores(str(shelf), copy)
    (copy / store.shard_path(3).relative_to(cache)).write_bytes(b"")
    assert import_stores(str(shelf), copy).files == 1
    assert served(copy) == numbered(store, range(2))


def test_another_store_under_the_same_name_is_refused(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy)
    changed = replace(store.metadata, random_weights=True)
    write_metadata(store.path, replace(store.facts, metadata=changed))
    with pytest.raises(StoreMismatchError, match="random_weights"):
        import_stores(str(shelf), copy)


def test_existing_records_are_kept_if_the_export_has_others(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    make_store(copy, salt=1)
    before = tree(copy)
    assert import_stores(str(shelf), copy).files == 0
    assert tree(copy) == before


def test_a_store_that_is_being_written_is_not_imported_into(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy, commit=False)
    with store.writing(), pytest.raises(StoreError, match="another process is writing"):
        import_stores(str(shelf), copy)


def test_a_missing_export_is_reported(tmp_path, copy):
    with pytest.raises(StoreNotFoundError, match="not an export"):
        import_stores(str(tmp_path), copy)
