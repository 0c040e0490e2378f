"""Groups that grew after an export, on either side, are merged, or refused if views or crops differ."""

import numpy as np
import pytest

from pipeline.cache.transfer.importing import import_stores
from rsmtdf_core.errors import (
    StoreMismatchError,
)
from rsmtdf_core.store.tables import write_table
from tests.caches import make_store, tree
from tests.pipeline.cache.transfer.helpers import exported, numbered, served


def test_a_group_is_not_changed_under_a_store_that_stays(cache, shelf):
    exported(make_store(cache), to=shelf)
    grown = make_store(cache, "other", views=4)
    before = tree(shelf)
    with pytest.raises(StoreMismatchError, match="has other views"):
        exported(grown, to=shelf)
    assert tree(shelf) == before


def test_a_grown_export_grows_the_store_that_is_here(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    import_stores(str(shelf), copy)
    store = make_store(cache, views=4)
    exported(store, to=shelf)
    report = import_stores(str(shelf), copy)
    assert served(copy) == numbered(store, range(4))
    assert report.there > 0
    assert report.files > 0


def test_groups_that_have_grown_apart_are_refused(cache, shelf, copy):
    make_store(cache, views=2)
    make_store(copy, views=2)
    exported(make_store(cache, views=4), to=shelf)
    make_store(copy, views=3)
    before = tree(copy)
    with pytest.raises(StoreMismatchError, match="diverged") as caught:
        import_stores(str(shelf), copy)
    assert "--cache" in caught.value.remedy
    assert tree(copy) == before


def test_crops_that_were_rendered_differently_are_refused(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy)
    crops = np.array(store.group.crops(np.arange(len(store.group.table))))
    crops[3] += 1
    write_table(store.group.path / "crops.npy", crops)
    with pytest.raises(StoreMismatchError, match="1 crops were rendered differently"):
        import_stores(str(shelf), copy)


def test_a_crop_that_only_the_export_knows_is_learned(cache, shelf, copy):
    exported(make_store(cache), to=shelf)
    store = make_store(copy)
    write_table(store.group.path / "crops.npy", np.zeros(len(store.group.table), np.uint32))
    import_stores(str(shelf), copy)
    assert tree(copy) == tree(cache)
