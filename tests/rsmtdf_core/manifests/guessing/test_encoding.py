"""Indices, greys and colours are told apart by the pixels."""

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.manifests.guessing import MaskValues, count_values, guess_encoding


def indices(*values: int, grey: bool = True) -> MaskValues:
    return MaskValues("indices", dict.fromkeys(values, 100), grey)


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


def test_ignored_numbers_move_the_first_class():
    guess = guess_encoding(indices(0, 1, 2, 3), ignore=[0])
    assert (guess.classes, guess.offset, guess.ignore) == ((1, 2, 3), 1, (0,))
    kept = guess_encoding(indices(0, 1, 255), ignore=[])
    assert kept.encoding == "colors", "255 as a class is too far from 1"


@pytest.mark.parametrize("values", [(0, 255), (0, 128, 255)])
def test_far_greys_are_colours(values):
    guess = guess_encoding(indices(*values))
    assert guess.encoding == "colors"
    assert guess.classes == tuple(f"#{value:02X}{value:02X}{value:02X}" for value in values)


def test_ignored_numbers_may_be_told_as_greys_too():
    guess = guess_encoding(indices(0, 128, 255), ignore=[0])
    assert (guess.classes, guess.ignore) == (("#808080", "#FFFFFF"), ("#000000",))
    alone = guess_encoding(indices(0, 255), ignore=[0])
    assert (alone.encoding, alone.offset, alone.ignore) == ("indices", 255, (0,))


def test_far_numbers_of_more_bits_are_refused():
    with pytest.raises(DataError, match="too far apart"):
        guess_encoding(indices(0, 1000, grey=False))


def test_the_mask_that_holds_a_far_number_is_named(tmp_path):
    for name, value in (("a", 1), ("b", 1000), ("c", 1000)):
        Image.fromarray(np.full((2, 2), value, np.uint16)).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="values 1, 1000, too far apart") as caught:
        guess_encoding(count_values(tmp_path, ["a.png", "b.png", "c.png"]))
    assert caught.value.where == str(tmp_path / "b.png")


def test_black_among_colours_and_rare_ones_are_ignored():
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


def test_values_are_counted_over_all_masks(tmp_path):
    for number in range(3):
        mask = np.full((2, 4), number, np.uint8)
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
    steps = []
    found = count_values(tmp_path, ["0.png", "1.png", "2.png"], lambda: steps.append(1))
    assert found == MaskValues("indices", {0: 8, 1: 8, 2: 8}, grey=True)
    assert len(steps) == 3


def test_a_palette_is_read_as_the_other_masks_are(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "p.png")
    assert count_values(tmp_path, ["p.png"]).counts == {0: 1, 1: 1}
    Image.new("RGB", (1, 1), "#FF0000").save(tmp_path / "c.png")
    assert count_values(tmp_path, ["p.png", "c.png"]).counts == {"#0000FF": 1, "#FF0000": 2}


def test_pictures_lossy_masks_and_mixtures_are_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with pytest.raises(DataError, match="different colours") as caught:
        count_values(tmp_path, ["noise.png"])
    assert "noise.png" in caught.value.where
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(tmp_path / "heights.png")
    with pytest.raises(DataError, match="different values"):
        count_values(tmp_path, ["heights.png"])
    Image.new("L", (1, 1)).save(tmp_path / "l.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "c.png")
    with pytest.raises(DataError, match="expected a mask with colours") as caught:
        count_values(tmp_path, ["c.png", "l.png"])
    assert "l.png" in caught.value.where
