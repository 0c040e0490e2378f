"""Helpers for the tests of exports and imports."""

import threading

import numpy as np

from pipeline.cache.transfer.exporting import export_stores
from rsmtdf_core.cache.catalogue import read_catalogue
from tests.caches import tree


def exported(*stores, to, views=None):
    return export_stores(stores, str(to), views)


def without_listing(folder):
    return {path: data for path, data in tree(folder).items() if path != "export.json"}


def states(cache):
    return {entry.teacher: entry.state for entry in read_catalogue(cache).stores}


def served(cache):
    """Which store rows a committed store serves, and that all of its records are sound."""
    (entry,) = read_catalogue(cache).stores
    assert entry.state == "committed"
    assert entry.store.verify() == ()
    rows = np.flatnonzero(entry.store.group.table["scene"] >= 0)
    here = np.setdiff1d(rows, entry.store.missing_rows(rows))
    entry.store.require_rows(here)
    assert entry.views == len(here)
    return set(here.tolist())


def numbered(store, views):
    table = store.group.table
    return set(np.flatnonzero((table["scene"] >= 0) & np.isin(table["number"], views)).tolist())


def stopping(call, after, counts=lambda *arguments: True):
    """`call`, but the one after so many raises, in whatever thread."""
    done, lock = [], threading.Lock()

    def stopped(*arguments):
        if counts(*arguments):
            with lock:
                done.append(arguments)
                if len(done) > after:
                    raise RuntimeError("killed")
        return call(*arguments)

    return stopped
