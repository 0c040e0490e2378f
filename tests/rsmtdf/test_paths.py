"""Callers give one path or several, as text or as paths."""

from pathlib import Path

from rsmtdf.paths import optional_path, paths


def test_one_path_is_a_list_of_one():
    for path in ("a/b", Path("a/b")):
        assert paths(path) == [Path("a/b")]
        assert optional_path(path) == Path("a/b")


def test_several_stay_in_their_order():
    assert paths(["b", Path("a")]) == [Path("b"), Path("a")]
    assert paths(()) == []


def test_no_path_is_none():
    assert optional_path(None) is None
