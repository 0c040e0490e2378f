"""The content of an export, alone and on top of an earlier one."""

import pytest

from pipeline.cache.transfer.importing import import_stores
from pipeline.cache.transfer.remote import Remote
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreIncompleteError,
)
from rsmtdf_core.kinds import TOKEN_CODECS
from tests.caches import make_store, tree
from tests.pipeline.cache.transfer.helpers import (
    exported,
    numbered,
    served,
    states,
    stopping,
    without_listing,
)


def test_an_exported_and_imported_cache_is_equal_byte_for_byte(cache, shelf, copy):
    stores = make_store(cache), make_store(cache, "other"), make_store(cache, seed=1)
    sent = exported(*stores, to=shelf)
    assert without_listing(shelf) == tree(cache)
    assert (sent.files, sent.there, sent.views) == (len(tree(cache)), 0, 54)
    got = import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)
    assert (got.views, got.files, got.there) == (54, 15, 0)


@pytest.mark.parametrize("codec", list(TOKEN_CODECS))
def test_stores_of_every_codec_come_whole(cache, shelf, copy, codec):
    store = make_store(cache, codec=codec, views=3)
    exported(store, to=shelf)
    import_stores(str(shelf), copy, views=range(1))
    import_stores(str(shelf), copy)
    assert served(copy) == numbered(store, range(3))


def test_an_export_is_itself_a_cache(cache, shelf):
    exported(make_store(cache), to=shelf)
    assert states(shelf) == {"tiny": "committed"}


def test_the_listing_is_written_last(cache, shelf, monkeypatch):
    order = []
    put = Remote.put
    monkeypatch.setattr(Remote, "put", lambda *a: (order.append(a[2]), put(*a))[1])
    exported(make_store(cache), to=shelf)
    assert order[-1] == "export.json"
    assert order.count("export.json") == 1


def test_only_committed_stores_are_exported(cache, shelf):
    with pytest.raises(StoreIncompleteError, match="only committed"):
        exported(make_store(cache, commit=False), to=shelf)
    assert not shelf.exists()


def test_a_damaged_record_is_not_exported(cache, shelf):
    store = make_store(cache)
    path = store.shard_path(2)
    path.write_bytes(path.read_bytes()[:5] + b"\xff" + path.read_bytes()[6:])
    with pytest.raises(StoreDamagedError):
        exported(store, to=shelf)
    assert not (shelf / "export.json").exists()


def test_a_killed_export_goes_on(cache, shelf, monkeypatch):
    store = make_store(cache)
    monkeypatch.setattr(Remote, "put", stopping(Remote.put, 4))
    with pytest.raises(RuntimeError, match="killed"):
        exported(store, to=shelf)
    assert not (shelf / "export.json").exists()
    monkeypatch.undo()
    assert exported(store, to=shelf).there >= 4
    assert without_listing(shelf) == tree(cache)
    assert exported(store, to=shelf).files == 0


def test_stores_of_an_earlier_export_stay(cache, shelf, copy):
    first, second = make_store(cache), make_store(cache, seed=1)
    exported(first, to=shelf)
    exported(second, to=shelf)
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_a_grown_store_is_exported_onto_its_earlier_export(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    grown = make_store(cache, views=4)
    exported(grown, to=shelf)
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)


def test_a_range_of_views_is_exported_as_a_store_that_is_whole(cache, shelf, copy):
    store = make_store(cache, views=4)
    sent = exported(store, to=shelf, views=range(2))
    (entry,) = read_catalogue(shelf).stores
    assert sent.views == entry.views < 36
    assert served(shelf) >= numbered(store, [0, 1])
    assert entry.seconds == pytest.approx(1.5 * entry.views / 36)
    assert entry.certificate["records"] <= store.read_commit().certificate["records"]
    import_stores(str(shelf), copy)
    assert tree(copy) == without_listing(shelf)
