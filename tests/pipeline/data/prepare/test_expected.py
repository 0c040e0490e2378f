"""Files that differ from the published ones are named before anything is written."""

import pytest
from PIL import Image

from pipeline.data.prepare.expected import find_originals, refuse
from rsmtdf_core.errors import DataError
from tests.pipeline.data.prepare.drawn import SMALL, draw_tiles, manifest_of


def originals(root, *, partial=False):
    return find_originals(SMALL, manifest_of(root), root, partial=partial)


@pytest.fixture
def root(tmp_path):
    draw_tiles(tmp_path)
    return tmp_path


def test_a_whole_benchmark_has_its_pairs_and_no_notes(root):
    pairs, notes = originals(root)
    assert [(pair.image, pair.mask) for pair in pairs] == [
        ("0_sat.jpg", "0_mask.png"),
        ("1_sat.jpg", "1_mask.png"),
    ]
    assert notes == ()


@pytest.mark.parametrize("name", ["0_sat.jpg", "1_mask.png"])
def test_a_missing_file_is_named_and_may_be_accepted(root, name):
    (root / name).unlink()
    missing = name
    with pytest.raises(DataError, match=missing) as caught:
        originals(root)
    assert "--partial" in caught.value.remedy
    _, notes = originals(root, partial=True)
    assert any(missing in note for note in notes)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", ["0_sat.jpg", "1_mask.png"])
def test_wrong_sizes_and_damaged_files_are_never_accepted(root, name, partial):
    Image.new("RGB", (10, 20)).save(root / name)
    with pytest.raises(DataError, match=f"{name}: expected 700 x 530 px, found 10 x 20 px"):
        originals(root, partial=partial)
    (root / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=name):
        originals(root, partial=partial)


def test_the_first_problems_are_listed_and_all_are_counted(tmp_path):
    with pytest.raises(DataError, match="11 wrong or missing") as caught:
        refuse([f"file {number}" for number in range(11)], tmp_path, "get them")
    assert "file 7" in caught.value.what
    assert "file 8" not in caught.value.what
    assert "and 3 more" in caught.value.what
