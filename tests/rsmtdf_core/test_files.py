import errno
import os
from pathlib import Path

import pytest

from rsmtdf_core.errors import DataError, WriteError
from rsmtdf_core.files import (
    atomic_file,
    atomic_path,
    make_folder,
    require_writable,
    sync_files,
    write_json,
)
from rsmtdf_core.refusals import require_no_folder, writing
from tests.leftovers import ended_process, left_by


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
    paths = [tmp_path / "a" / "1", tmp_path / "a" / "2", tmp_path / "b" / "1"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path, sync=False) as temporary:
            temporary.write_text("x")
    assert synced == []
    sync_files(paths)
    assert synced[:3] == paths
    assert sorted(synced[3:]) == [tmp_path / "a", tmp_path / "b"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    make_folder(tmp_path / "x" / "y", DataError, "another")
    assert (tmp_path / "x" / "y").is_dir()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="the folder cannot be written: ") as caught:
            make_folder(folder, DataError, "another")
        assert (caught.value.where, caught.value.remedy) == (str(folder), "another")


def test_the_first_writer_of_a_folder_removes_leftovers_of_killed_ones(tmp_path):
    dead = left_by(ended_process(), tmp_path / "report.json")
    alive = left_by(os.getppid(), tmp_path / "report.json")
    write_json(tmp_path / "scores.json", {})
    assert not dead.exists()
    assert alive.exists()


def test_a_folder_at_the_path_of_a_file_is_named_before_any_work(tmp_path):
    path = tmp_path / "report.json"
    path.mkdir()
    for write in (lambda: write_json(path, {}), lambda: require_no_folder(path)):
        with pytest.raises(WriteError, match="cannot be written: Is a directory") as caught:
            write()
        assert caught.value.where == str(path)
        assert caught.value.remedy.startswith("remove or rename the folder")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_at_the_path_of_a_folder_is_named(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(WriteError, match="the folder cannot be written: ") as caught:
        write_json(tmp_path / "out" / "report.json", {})
    assert caught.value.where == str(tmp_path / "out")
    assert caught.value.remedy.startswith("remove or rename the file")


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_about_a_descriptor_names_the_file(tmp_path, number, monkeypatch):
    """The system does not name the file itself."""

    def fsync(_handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WriteError) as caught, atomic_file(tmp_path / "a") as file:
        file.write(b"x")
    assert caught.value.where == str(tmp_path / "a")
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_file_is_not_that_of_the_one_written(tmp_path):
    with pytest.raises(PermissionError) as caught, atomic_file(tmp_path / "a"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "source")
    assert caught.value.filename == "source"
    with pytest.raises(FileNotFoundError) as caught, writing(tmp_path / "a"):
        raise FileNotFoundError("no name at all")
    assert not isinstance(caught.value, WriteError)


def refusing(*folders):
    """A function for `os.open` that creates no file in these folders."""
    real = os.open

    def refused(path, flags, *arguments, **words):
        if flags & os.O_CREAT and Path(path).parent in folders:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *arguments, **words)

    return refused


@pytest.mark.parametrize("missing", ["", "out", "out/deeper"])
def test_the_nearest_existing_folder_decides_and_stays_as_it_was(tmp_path, monkeypatch, missing):
    file = tmp_path / missing / "report.json"
    require_writable(file, file.with_name("scores.csv"))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "open", refusing(tmp_path))
    with pytest.raises(WriteError, match="the folder cannot be written: Read-only") as caught:
        require_writable(file)
    assert caught.value.where == str(tmp_path)
    assert "a writable disk" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_every_folder_of_the_files_is_checked(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(os, "open", refusing(tmp_path / "b"))
    require_writable(tmp_path / "a" / "1", tmp_path / "a" / "2")
    with pytest.raises(WriteError) as caught:
        require_writable(tmp_path / "a" / "1", tmp_path / "b" / "1")
    assert caught.value.where == str(tmp_path / "b")


def test_folders_and_files_that_block_the_path_are_named(tmp_path):
    (tmp_path / "report.json").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for path, where in (
        (tmp_path / "report.json", tmp_path / "report.json"),
        (tmp_path / "file" / "report.json", tmp_path / "file"),
        (tmp_path / "link" / "report.json", tmp_path / "link"),
    ):
        with pytest.raises(WriteError, match="cannot be written") as caught:
            require_writable(path)
        assert caught.value.where == str(where)


def test_a_relative_path_is_judged_by_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    require_writable(Path("report.html"), Path("out/table.csv"))
    monkeypatch.setattr(os, "open", refusing(tmp_path))
    with pytest.raises(WriteError):
        require_writable(Path("report.html"))
