"""A cache, an export of it, and a cache that the export is imported into."""

import pytest


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "shelf"


@pytest.fixture
def copy(tmp_path):
    return tmp_path / "copy"
