import os
from pathlib import Path

import pytest

from rsmtdf_core.errors import DataError
from rsmtdf_core.files import atomic_path, make_folder, sync_files


@pytest.fixture
def synced(monkeypatch):
    """Paths that were synced, in their order."""
    paths = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: paths.append(Path(f"/proc/self/fd/{handle}").readlink())
    )
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's names of open files")
def test_files_may_be_synced_together_later(tmp_path, synced):
    places = [tmp_path / "a" / "1", tmp_path / "a" / "2", tmp_path / "b" / "1"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        with atomic_path(place, sync=False) as temporary:
            temporary.write_text("x")
    assert synced == []
    sync_files(places)
    assert synced[:3] == places
    assert sorted(synced[3:]) == [tmp_path / "a", tmp_path / "b"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    make_folder(tmp_path / "x" / "y", DataError, "another")
    assert (tmp_path / "x" / "y").is_dir()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="the folder cannot be written: ") as caught:
            make_folder(folder, DataError, "another")
        assert (caught.value.where, caught.value.remedy) == (str(folder), "another")
