"""The stores of the store's own tests."""

from tests.rsmtdf_core.store.conftest import extract, make, store

__all__ = ["extract", "make", "store"]
