"""Errors show the problem, its location and its fix, and can be sent between processes."""

import errno
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rsmtdf_core.errors
from rsmtdf_core.errors import (
    DataError,
    IncompleteError,
    RsmtdfError,
    StoreDamagedError,
    WriteError,
)


def subclasses(kind):
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


KINDS = [
    kind
    for kind in subclasses(RsmtdfError)
    if kind.__module__ == rsmtdf_core.errors.__name__ and kind is not IncompleteError
]
OPTIONAL_TEXT = st.none() | st.text(min_size=1)


@pytest.mark.parametrize("kind", KINDS)
@given(what=st.text(), where=OPTIONAL_TEXT, remedy=OPTIONAL_TEXT)
def test_every_error_comes_out_of_a_pickle_as_it_went_in(kind, what, where, remedy):
    error = kind(what, where=where, remedy=remedy)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.remedy) == (error.what, error.where, error.remedy)
    assert str(copy) == str(error)
    assert copy.status == error.status


def test_an_error_of_many_files_comes_out_with_all_its_causes():
    causes = [DataError("no bands", where="a.tif"), DataError("damaged", where="b.tif")]
    error = IncompleteError("2 of 3 files are wrong", causes, [Path("c.png")])
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert str(error).splitlines() == [
        "2 of 3 files are wrong",
        "no bands",
        "  where: a.tif",
        "damaged",
        "  where: b.tif",
    ]
    assert copy.written == (Path("c.png"),)
    assert [cause.where for cause in copy.causes] == ["a.tif", "b.tif"]


def test_a_refused_write_keeps_the_systems_number():
    error = WriteError("the file cannot be written", where="out.png")
    error.errno, error.strerror = errno.ENOSPC, "No space left on device"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.errno, copy.strerror) == (errno.ENOSPC, "No space left on device")
    assert (copy.what, copy.where) == (error.what, error.where)


def test_the_text_has_a_line_for_each_part_that_is_known():
    assert str(RsmtdfError("no scene")) == "no scene"
    error = RsmtdfError("no scene", where=Path("data/a"), remedy="name another folder")
    assert str(error) == "no scene\n  where: data/a\n  fix:   name another folder"


@given(st.text(min_size=1))
def test_a_location_takes_one_line_and_moves_no_cursor(where):
    lines = str(RsmtdfError("no scene", where=where)).split("\n")
    assert len(lines) == 2
    assert lines[1].startswith("  where: ")
    assert lines[1].isprintable()


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        ("ConfigError", ValueError),
        ("DataError", ValueError),
        ("IncompleteError", ValueError),
        ("MissingFileError", FileNotFoundError),
        ("WriteError", OSError),
        ("TeacherError", RuntimeError),
        ("StoreError", RuntimeError),
        ("StoreNotFoundError", FileNotFoundError),
        ("RunError", RuntimeError),
    ],
)
def test_python_callers_can_catch_the_built_in_error(kind, builtin):
    kind = getattr(rsmtdf_core.errors, kind)
    assert issubclass(kind, builtin)
    assert issubclass(kind, RsmtdfError)


def test_damage_in_a_cache_names_the_command_that_repairs_it(tmp_path):
    store = tmp_path / "views-0123456789abcdef" / "dino-0123456789ab-fp16"
    error = StoreDamagedError("a shard is damaged", where=store / "c" / "0")
    assert error.remedy == f"rsmtdf cache repair {store}"
    assert StoreDamagedError("damaged", where=tmp_path / "c").remedy is None
    assert StoreDamagedError("damaged", where=store, remedy="wait").remedy == "wait"
