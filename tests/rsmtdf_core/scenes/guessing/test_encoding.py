"""Indices, grays and colors are distinguished by the pixels."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import MaskValues, count_values, guess_encoding


def indices(*values: int, gray: bool = True) -> MaskValues:
    return MaskValues("indices", dict.fromkeys(values, 100), gray)


def colors(**counts: int) -> MaskValues:
    return MaskValues("colors", {f"#{name}": count for name, count in sorted(counts.items())})


@pytest.mark.parametrize(
    ("values", "classes", "ignore"),
    [
        ((0, 1, 2), (0, 1, 2), ()),
        ((1, 2, 3), (1, 2, 3), ()),
        ((0, 1, 3, 255), (0, 1, 2, 3), (255,)),
        ((1, 255), None, None),
        ((0, 1), (0, 1), ()),
        ((7,), (7,), ()),
    ],
)
def test_numbers_close_to_each_other_are_indices(values, classes, ignore):
    guess = guess_encoding(indices(*values))
    if classes is None:
        assert guess.encoding == "colors"
        return
    assert (guess.encoding, guess.classes, guess.ignore) == ("indices", classes, ignore)
    assert guess.offset == classes[0]


def test_masks_of_a_single_value_are_named_as_such():
    assert "nothing to learn" in guess_encoding(indices(3)).why
    assert "nothing to learn" not in guess_encoding(indices(3, 4)).why


def test_ignored_numbers_move_the_first_class():
    guess = guess_encoding(indices(0, 1, 2, 3), ignore=[0])
    assert (guess.classes, guess.offset, guess.ignore) == ((1, 2, 3), 1, (0,))
    kept = guess_encoding(indices(0, 1, 255), ignore=[])
    assert kept.encoding == "colors", "255 as a class is too far from 1"


@pytest.mark.parametrize("values", [(0, 255), (0, 128, 255)])
def test_far_grays_are_colors(values):
    guess = guess_encoding(indices(*values))
    assert guess.encoding == "colors"
    assert guess.classes == tuple(f"#{value:02X}{value:02X}{value:02X}" for value in values)


def test_ignored_numbers_may_be_gray_colors():
    guess = guess_encoding(indices(0, 128, 255), ignore=[0])
    assert (guess.classes, guess.ignore) == (("#808080", "#FFFFFF"), ("#000000",))
    alone = guess_encoding(indices(0, 255), ignore=[0])
    assert (alone.encoding, alone.offset, alone.ignore) == ("indices", 255, (0,))


def test_far_numbers_of_more_bits_are_refused():
    with pytest.raises(DataError, match="too far apart"):
        guess_encoding(indices(0, 1000, gray=False))


def test_the_mask_that_holds_a_far_number_is_named(tmp_path):
    for name, value in (("a", 1), ("b", 1000), ("c", 1000)):
        Image.fromarray(np.full((2, 2), value, np.uint16)).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="values 1, 1000, too far apart") as caught:
        guess_encoding(count_values(tmp_path, ["a.png", "b.png", "c.png"]))
    assert caught.value.where == str(tmp_path / "b.png")


def test_black_among_colors_and_rare_ones_are_ignored():
    many = colors(FF0000=500, FFFF00=500, FFFFFF=500, **{"00FF00": 500, "000000": 9, "00FF01": 0})
    guess = guess_encoding(many)
    assert set(guess.ignore) == {"#000000", "#00FF01"}
    assert len(guess.classes) == 4
    binary = guess_encoding(colors(**{"000000": 900, "FFFFFF": 100}))
    assert binary.classes == ("#000000", "#FFFFFF")
    assert guess_encoding(many, ignore=["#FF0000"]).ignore == ("#FF0000",)


def test_something_must_be_left():
    with pytest.raises(DataError, match="no class is left: the masks hold 0, 1") as caught:
        guess_encoding(indices(0, 1), ignore=[0, 1])
    assert caught.value.where == "--ignore"


def saved(folder, *masks, suffix="png", **how):
    """Masks as files, and their names."""
    folder.mkdir(exist_ok=True)
    names = [f"{number}.{suffix}" for number in range(len(masks))]
    for name, mask in zip(names, masks, strict=True):
        Image.fromarray(mask).save(folder / name, **how)
    return folder, names


def squares(seed=0, size=96, background=0, value=255):
    """Squares on a background, uint8 [size, size]."""
    rng = np.random.default_rng(seed)
    mask = np.full((size, size), background, np.uint8)
    for top, left, side in rng.integers((0, 0, 8), (size - 8, size - 8, 30), (6, 3)):
        mask[top : top + side, left : left + side] = value
    return mask


SMOOTHINGS = {
    "bilinear": lambda mask: Image.fromarray(mask).resize((150, 150), Image.Resampling.BILINEAR),
    "bicubic": lambda mask: Image.fromarray(mask).resize((70, 70), Image.Resampling.BICUBIC),
    "doubled": lambda mask: Image.fromarray(mask).resize((192, 192), Image.Resampling.BILINEAR),
    "blurred": lambda mask: Image.fromarray(mask).filter(ImageFilter.GaussianBlur(1)),
    "stretched": lambda mask: Image.fromarray(mask).resize((150, 150), 2).point(lambda v: v * 0.93),
    "RGB": lambda mask: Image.fromarray(mask).convert("RGB").resize((150, 150), 2),
}


@pytest.mark.parametrize("how", SMOOTHINGS)
def test_smoothed_black_and_white_is_two_classes_by_threshold(tmp_path, how):
    masks = [np.asarray(SMOOTHINGS[how](squares(seed))) for seed in range(3)]
    guess = guess_encoding(count_values(*saved(tmp_path, *masks)))
    assert (guess.encoding, guess.match) == ("colors", "threshold")
    assert (guess.classes, guess.ignore) == (("#000000", "#FFFFFF"), ())
    white = sum(int((np.atleast_3d(mask)[..., 0] >= 128).sum()) for mask in masks)
    assert guess.counts["#FFFFFF"] == white
    assert "smoothed edges" in guess.why


@pytest.mark.parametrize("quality", [95, 75, 40])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_black_and_white_in_jpeg_is_two_classes_by_threshold(tmp_path, quality, mode):
    folder, names = saved(tmp_path)
    for seed in range(3):
        image = Image.fromarray(squares(seed)).convert(mode)
        image.save(tmp_path / f"{seed}.jpg", quality=quality)
        names.append(f"{seed}.jpg")
    guess = guess_encoding(count_values(folder, names))
    assert (guess.match, guess.classes) == ("threshold", ("#000000", "#FFFFFF"))


def test_thin_white_lines_are_found_among_smoothed_edges(tmp_path):
    mask = np.zeros((80, 80), np.uint8)
    mask[20:22] = mask[:, 50:52] = 255
    smooth = np.asarray(Image.fromarray(mask).resize((111, 111), Image.Resampling.BILINEAR))
    assert guess_encoding(count_values(*saved(tmp_path, smooth))).match == "threshold"


def test_the_genuine_masks_of_roads_are_two_classes(shared):
    folder = shared / "data" / "roads" / "masks"
    names = sorted(path.name for path in folder.iterdir())[:12]
    values = count_values(folder, names)
    assert len(values.counts) > 200
    guess = guess_encoding(values)
    assert (guess.match, guess.classes) == ("threshold", ("#000000", "#FFFFFF"))


def test_areas_are_not_mistaken_for_smoothed_edges(tmp_path):
    thirds = np.repeat(np.array([0, 128, 255], np.uint8), 20)[None].repeat(60, axis=0)
    guess = guess_encoding(count_values(*saved(tmp_path / "gray", thirds)))
    assert (guess.match, len(guess.classes)) == ("exact", 3)
    thin = squares()
    thin[thin == 255] = 1
    thin[::7] = 2
    thin[:10] = 255
    guess = guess_encoding(count_values(*saved(tmp_path / "thin", thin)))
    assert (guess.encoding, guess.classes, guess.ignore) == ("indices", (0, 1, 2), (255,))


def test_smoothed_masks_of_more_classes_are_refused(tmp_path):
    mask = squares(0, value=255)
    mask[squares(1) == 255] = 120
    smooth = np.asarray(SMOOTHINGS["bilinear"](mask))
    values = count_values(*saved(tmp_path, smooth))
    with pytest.raises(DataError, match="occur only along edges") as caught:
        guess_encoding(values)
    assert "nearest" in caught.value.remedy
    ids = squares(0, value=5)
    ids[squares(1) == 255] = 90
    with pytest.raises(DataError, match="smoothed edges"):
        guess_encoding(count_values(*saved(tmp_path, np.asarray(SMOOTHINGS["bilinear"](ids)))))


def test_a_mix_of_masks_of_0_and_1_and_of_0_and_255_is_refused(tmp_path):
    values = count_values(*saved(tmp_path, squares(0, value=1), squares(1, value=255)))
    with pytest.raises(DataError, match=r"0 and 1, such as .*0\.png, others 0 and 255.*1\.png"):
        guess_encoding(values)
    assert guess_encoding(values, ignore=[255]).classes == (0, 1)
    both = squares(1, value=255)
    both[:4] = 1
    values = count_values(*saved(tmp_path, squares(0, value=1), both))
    assert guess_encoding(values).ignore == (255,)


def objects(seed, count, first=1):
    """Squares with distinct numbers on a background of 0, uint16 [96, 96]."""
    mask = np.zeros((96, 96), np.uint16)
    places = np.random.default_rng(seed).permutation(64)[:count]
    for number, (row, column) in enumerate(zip(places // 8, places % 8, strict=True), first):
        mask[row * 12 + 2 : row * 12 + 11, column * 12 + 1 : column * 12 + 9] = number
    return mask


@pytest.mark.parametrize("first", [1, 1000])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbers_of_objects_are_named_as_such(tmp_path, first, dtype):
    if first > 255 and dtype is np.uint8:
        first = 100
    masks = [objects(seed, 14 + 5 * seed, first).astype(dtype) for seed in range(4)]
    values = count_values(*saved(tmp_path, *masks))
    with pytest.raises(DataError, match="instance ids") as caught:
        guess_encoding(values)
    assert "--classes" in caught.value.remedy
    if first == 1:
        assert len(guess_encoding(values, are_classes=True).classes) == 30


def test_many_classes_are_no_objects(tmp_path):
    rng = np.random.default_rng(0)
    masks = [
        rng.integers(0, 20 + seed, (12, 12), np.uint8).repeat(8, 0).repeat(8, 1)
        for seed in range(3)
    ]
    guess = guess_encoding(count_values(*saved(tmp_path, *masks)))
    assert guess.classes == tuple(range(22))


def test_the_nodata_value_of_the_files_has_no_class():
    values = MaskValues("indices", {1: 60, 2: 40}, nodata=(0,))
    guess = guess_encoding(values)
    assert (guess.classes, guess.ignore, guess.offset) == ((1, 2), (0,), 1)
    assert guess_encoding(values, ignore=[]).ignore == (0,)
    assert guess_encoding(values, ignore=[2]).classes == (1,)
    far = MaskValues("indices", {0: 60, 1: 40}, nodata=(-9999,))
    assert (guess_encoding(far).classes, guess_encoding(far).ignore) == ((0, 1), (-9999,))
    with pytest.raises(DataError, match="the masks hold only one other value, 1") as caught:
        guess_encoding(MaskValues("indices", {1: 40}, nodata=(0,)))
    assert "gdal_edit.py -unsetnodata" in caught.value.remedy
    with pytest.raises(DataError, match="no mask has a pixel"):
        guess_encoding(MaskValues("indices", {}, nodata=(0,)))


def test_a_value_that_some_masks_alone_name_as_no_data_is_refused():
    values = MaskValues("indices", {0: 50, 1: 60, 2: 40}, nodata=(0,))
    with pytest.raises(DataError, match="some masks declare 0 as nodata, others hold it") as caught:
        guess_encoding(values)
    assert "--ignore=0" in caught.value.remedy
    assert guess_encoding(values, ignore=[0]).classes == (1, 2)
    assert guess_encoding(values, ignore=[]).classes == (0, 1, 2)


def test_far_numbers_may_be_ignored():
    with pytest.raises(DataError, match="too far apart") as caught:
        guess_encoding(indices(-9999, 0, 1, gray=False))
    assert "--ignore=-9999" in caught.value.remedy
    guess = guess_encoding(indices(-9999, 0, 1, gray=False), ignore=[-9999])
    assert (guess.encoding, guess.classes, guess.ignore) == ("indices", (0, 1), (-9999,))
    with pytest.raises(DataError, match="not a gray value"):
        guess_encoding(indices(0, 255), ignore=[-9999])
