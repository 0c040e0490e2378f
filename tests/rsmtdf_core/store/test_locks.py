"""A folder has one writer at a time, and no writer while it is read."""

import multiprocessing
import os
import shutil

import pytest

from rsmtdf_core.errors import StoreDamagedError, StoreError
from rsmtdf_core.store.locks import LOCK, is_locked, locked, reading, unread


def test_a_folder_is_locked_while_it_is_held(tmp_path):
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        assert not is_locked(tmp_path.parent)
    assert not is_locked(tmp_path)


def test_a_held_folder_is_let_go_by_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert not is_locked(tmp_path)


def test_asking_writes_no_file(tmp_path):
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "link", "broken link", "pipe"])
def test_a_lock_that_is_no_regular_file_is_refused_with_the_repair(tmp_path, kind):
    lock = tmp_path / LOCK
    (tmp_path / "file").write_text("")
    if kind == "folder":
        lock.mkdir()
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.symlink_to("file" if kind == "link" else "nowhere")
    with pytest.raises(StoreDamagedError) as caught, locked(tmp_path):
        pass
    assert caught.value.where == str(lock)
    assert caught.value.remedy == f"rsmtdf cache repair {tmp_path}"


def test_a_folder_that_was_deleted_while_one_waited_is_refused(tmp_path):
    folder = tmp_path / "views"
    folder.mkdir()
    holder = locked(folder)
    holder.__enter__()
    waited = []

    def delete():
        waited.append(True)
        shutil.rmtree(folder)
        holder.__exit__(None, None, None)

    with pytest.raises(StoreError, match="deleted") as caught, locked(folder, delete):
        pass
    assert waited == [True]
    assert caught.value.where == str(folder)


def test_a_child_process_does_not_keep_the_lock(tmp_path):
    """A loader forked while the folder is held outlives the holder's block."""
    context = multiprocessing.get_context("fork")
    begun, ends = context.Event(), context.Event()
    with locked(tmp_path):
        child = context.Process(target=lambda: (begun.set(), ends.wait()))
        child.start()
    begun.wait()
    try:
        assert not is_locked(tmp_path)
    finally:
        ends.set()
        child.join()


def test_readers_share_a_store_and_keep_a_repair_away(tmp_path):
    stores = [tmp_path / "a", tmp_path / "b"]
    for store in stores:
        store.mkdir()
    with reading(stores), reading(stores):
        with pytest.raises(StoreError, match="training reads") as caught, unread(stores[1:]):
            pass
        assert caught.value.where == str(stores[1])
        assert caught.value.remedy
    with unread(stores):
        with pytest.raises(StoreError, match="repaired"), reading(stores[:1]):
            pass
        with pytest.raises(StoreError), unread(stores[:1]):
            pass
    with reading(stores):
        pass
    assert all(list(store.iterdir()) == [] for store in stores)


def test_a_refused_reader_holds_none_of_its_stores(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for store in (first, second):
        store.mkdir()
    with unread([second]):
        with pytest.raises(StoreError), reading([first, second]):
            pass
        with unread([first]):
            pass
