"""Files are found below any folder, and the folder with the most pairs is chosen."""

import pytest

from pipeline.data.prepare.benchmarks import BENCHMARKS
from pipeline.data.prepare.layout import find_layout
from rsmtdf_core.errors import DataError

LOVEDA, DEEPGLOBE, POTSDAM = (BENCHMARKS[name] for name in ("loveda", "deepglobe", "potsdam"))


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.mark.parametrize("prefix", ["", "deep/er/"])
def test_whole_tiles_are_found_at_any_depth(tmp_path, prefix):
    touch(tmp_path, f"{prefix}Train/Rural/images_png/1.png", f"{prefix}Train/Rural/masks_png/1.png")
    layout = find_layout(LOVEDA, tmp_path)
    assert layout.root == tmp_path
    assert layout.images == f"{prefix}{LOVEDA.image.pattern}"
    assert layout.masks == f"{prefix}{LOVEDA.masks[0].pattern}"
    assert not layout.cropped
    assert layout.tile_fields == ("part", "area", "name")


def test_the_folders_with_the_most_pairs_win(tmp_path):
    touch(tmp_path, "a/1_sat.jpg", "a/2_sat.jpg", "a/3_sat.jpg", "a/1_mask.png")
    touch(tmp_path, "b/1_sat.jpg", "b/2_sat.jpg", "c/1_mask.png", "c/2_mask.png")
    layout = find_layout(DEEPGLOBE, tmp_path)
    assert layout.images == "a/{tile}_sat.jpg"
    assert layout.masks == "c/{tile}_mask.png"


def test_the_kind_of_mask_with_the_most_pairs_wins(tmp_path):
    touch(tmp_path, *(f"rgb/top_potsdam_2_{n}_RGB.tif" for n in (10, 11)))
    touch(tmp_path, "all/top_potsdam_2_10_label.tif")
    touch(tmp_path, *(f"eroded/top_potsdam_2_{n}_label_noBoundary.tif" for n in (10, 11)))
    assert find_layout(POTSDAM, tmp_path).masks == f"eroded/{POTSDAM.masks[1].pattern}"


def test_crops_are_found_without_tiles(tmp_path):
    touch(tmp_path, "data_cropped/1_sat_1.jpg", "data_cropped/1_mask_1.png")
    for root in (tmp_path, tmp_path / "data_cropped"):
        layout = find_layout(DEEPGLOBE, root)
        assert layout.cropped
        assert layout.tile_fields == ("tile",)
    touch(tmp_path, "1_sat.jpg", "1_mask.png")
    assert not find_layout(DEEPGLOBE, tmp_path).cropped


def test_hidden_and_skipped_folders_are_not_looked_into(tmp_path):
    touch(tmp_path, ".git/1_sat.jpg", ".git/1_mask.png", "out/1_sat.jpg", "out/1_mask.png")
    assert find_layout(DEEPGLOBE, tmp_path, [tmp_path / "out"]) is None
    assert find_layout(DEEPGLOBE, tmp_path) is not None


@pytest.mark.parametrize("sign", "{}*?\\")
def test_a_folder_whose_name_no_pattern_can_have_is_refused(tmp_path, sign):
    touch(tmp_path, f"a{sign}b/1_sat.jpg", f"a{sign}b/1_mask.png")
    with pytest.raises(DataError, match="folder") as caught:
        find_layout(DEEPGLOBE, tmp_path)
    assert caught.value.where == str(tmp_path / f"a{sign}b")
