"""The system's refusals become errors that name the file and how to go on."""

import errno
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import DataError, WriteError
from rsmtdf_core.refusals import (
    naming,
    refusal,
    remedy_of,
    require_no_folder,
    write_error,
    writing,
)

NUMBERS = sorted(errno.errorcode)
WRITING_ONLY = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def system_error(number, *names):
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_refusal_names_the_file_the_reason_and_a_way_on(number):
    error = refusal(system_error(number, "maps/a.png"))
    assert os.strerror(number) in error.what
    assert error.where == "maps/a.png"
    assert error.remedy
    refused = write_error(system_error(number), Path("maps/a.png"))
    assert os.strerror(number) in refused.what
    assert refused.errno == number
    assert refused.remedy
    assert pickle.loads(pickle.dumps(refused)).errno == number


def test_a_remedy_ends_in_how_to_go_on():
    assert remedy_of(errno.ENOSPC) == "free space on the disk, then run the same command again"
    assert remedy_of(errno.ENOSPC, "then resume") == "free space on the disk, then resume"
    assert remedy_of(errno.EPIPE) is None
    assert remedy_of(None) is None


def test_both_files_of_a_refused_rename_are_named_and_long_names_are_cut():
    error = OSError(errno.EACCES, "Permission denied", b"from", None, "x" * 500)
    where = refusal(error).where
    assert where.startswith("from, xxx")
    assert where.endswith("...")
    assert len(where) < 200
    assert refusal(OSError(errno.EIO, "Input/output error")).where is None


@pytest.mark.parametrize("number", WRITING_ONLY)
def test_a_full_disk_is_the_written_files_refusal_without_any_name(tmp_path, number):
    with pytest.raises(WriteError) as caught, writing(tmp_path / "a"):
        raise system_error(number)
    assert caught.value.where == str(tmp_path / "a")


@pytest.mark.parametrize("name", ["a", "a.tmp"])
def test_the_file_and_its_temporary_name_are_the_same_file_to_the_user(tmp_path, name):
    path, temporary = tmp_path / "a", tmp_path / "a.tmp"
    with pytest.raises(WriteError) as caught, writing(path, temporary):
        raise system_error(errno.EACCES, str(tmp_path / name))
    assert caught.value.where == str(path)
    assert "the file cannot be written" in caught.value.what


def test_a_folder_above_the_file_is_named_as_a_folder(tmp_path):
    path = tmp_path / "out" / "maps" / "a.png"
    with pytest.raises(WriteError, match="the folder cannot be written") as caught, writing(path):
        raise system_error(errno.ENOTDIR, str(tmp_path / "out"))
    assert caught.value.where == str(tmp_path / "out")


@given(st.sampled_from(sorted(set(NUMBERS) - set(WRITING_ONLY))))
def test_errors_of_other_files_pass_through(number):
    error = system_error(number, "source.tif")
    with pytest.raises(OSError, match=r"source\.tif") as caught, writing(Path("maps/a.png")):
        raise error
    assert caught.value is error


def test_errors_with_a_remedy_pass_through():
    error = WriteError("the store cannot be written", where="store")
    with pytest.raises(WriteError) as caught, writing(Path("a")):
        raise error
    assert caught.value is error


def test_a_descriptors_error_gets_the_files_name_and_other_names_stay():
    with pytest.raises(OSError, match="broken") as caught, naming(Path("a")):
        raise OSError(errno.EIO, "broken")
    assert caught.value.filename == "a"
    with pytest.raises(OSError, match="broken") as caught, naming(Path("a")):
        raise OSError(errno.EIO, "broken", "b")
    assert caught.value.filename == "b"


def test_a_folder_of_that_name_is_refused_before_any_work(tmp_path):
    require_no_folder(tmp_path / "free", tmp_path / "also free")
    with pytest.raises(WriteError) as caught:
        require_no_folder(tmp_path / "free", tmp_path)
    assert caught.value.where == str(tmp_path)
    assert caught.value.errno == errno.EISDIR
    assert not isinstance(caught.value, DataError)
