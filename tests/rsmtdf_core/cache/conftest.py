"""The fixtures of the store's tests."""

from tests.rsmtdf_core.store.conftest import extract, make, store

__all__ = ["extract", "make", "store"]
