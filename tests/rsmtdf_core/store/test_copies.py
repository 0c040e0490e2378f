"""The copy of a small file has its bytes, and only whole files have copies."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.copies import copy_of, is_there, keep_copy, same_bytes


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_a_copy_follows_its_original(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("copies") / "commit.json"
    for content in (first, second):
        path.write_bytes(content)
        assert same_bytes(path, copy_of(path)) == (copy_of(path).exists() and first == second)
        keep_copy(path)
        assert copy_of(path).read_bytes() == content
        assert same_bytes(path, copy_of(path))


def test_a_copy_that_is_up_to_date_is_not_written_again(tmp_path):
    path = tmp_path / "zarr.json"
    path.write_text("{}")
    keep_copy(path)
    before = copy_of(path).stat().st_ino
    keep_copy(path)
    assert copy_of(path).stat().st_ino == before


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe"])
def test_only_regular_files_have_copies(tmp_path, kind):
    path, target = tmp_path / "zarr.json", tmp_path / "target"
    target.write_text("{}")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(StoreDamagedError) as caught:
        keep_copy(path)
    assert caught.value.where == str(path)
    assert not copy_of(path).exists()
    assert not same_bytes(path, target)
    assert is_there(path) == (kind != "missing")


def test_a_broken_link_is_there(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    assert is_there(tmp_path / "link")
    assert not (tmp_path / "link").exists()
