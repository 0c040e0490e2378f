"""A tile counts as cut once its line is complete, and only for the same settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.prepare.ledger import LEDGER, CutTile, append_tile, read_ledger, write_ledger
from rsmtdf_core.errors import DataError

CUTTING = {"crop": 512, "padding": "zeros"}
TILES = [CutTile(f"{n}/\u00e9", {f"{n}.tif": [n, 10**18 + n]}, n) for n in range(4)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("crops") / LEDGER


def test_tiles_come_back_as_they_were(path):
    path.unlink(missing_ok=True)
    assert read_ledger(path, CUTTING) == {}
    write_ledger(path, CUTTING, TILES[:2])
    with path.open("ab") as file:
        append_tile(file, TILES[2])
    assert read_ledger(path, CUTTING) == {tile.id: tile for tile in TILES[:3]}


@given(cut=st.integers(1, 250))
def test_a_line_that_was_cut_short_costs_its_tile_alone(path, cut):
    write_ledger(path, CUTTING, TILES)
    content = path.read_bytes()
    kept = content[: max(content.index(b"\n") + 1, len(content) - cut)]
    path.write_bytes(kept)
    whole = kept.count(b"\n") - 1
    assert read_ledger(path, CUTTING) == {tile.id: tile for tile in TILES[:whole]}


def test_other_settings_are_refused_with_the_difference(path):
    write_ledger(path, CUTTING, TILES)
    with pytest.raises(DataError, match="crop: expected 512, found 256") as caught:
        read_ledger(path, CUTTING | {"crop": 256})
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"id": "a"}', '{"id": "a", "source": {}, "unknown": 0, "more": 1}']
)
def test_a_complete_line_that_is_no_tile_is_damage(path, line):
    write_ledger(path, CUTTING, TILES)
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match="damaged"):
        read_ledger(path, CUTTING)


def test_an_empty_file_is_damage(path):
    path.write_bytes(b"")
    with pytest.raises(DataError, match="damaged"):
        read_ledger(path, CUTTING)
