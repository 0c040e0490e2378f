"""Values are counted with their layout in the masks."""

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import count_values, guess_encoding, values


def test_values_are_counted_over_all_masks(tmp_path):
    for number in range(3):
        mask = np.full((2, 4), number, np.uint8)
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
    steps = []
    mask_values = count_values(tmp_path, ["0.png", "1.png", "2.png"], lambda: steps.append(1))
    assert (mask_values.kind, mask_values.counts, mask_values.gray) == (
        "indices",
        {0: 8, 1: 8, 2: 8},
        True,
    )
    assert mask_values.sets == (frozenset({0}), frozenset({1}), frozenset({2}))
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
    with pytest.raises(DataError, match="different colors") as caught:
        guess_encoding(count_values(tmp_path, ["noise.png"]))
    assert "noise.png" in caught.value.where
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "more.png")
    with pytest.raises(DataError, match="different colors") as caught:
        count_values(tmp_path, ["more.png"])
    heights = np.arange(90000, dtype=np.int32).reshape(300, 300)
    Image.fromarray(heights).save(tmp_path / "heights.tif")
    with pytest.raises(DataError, match="different values"):
        count_values(tmp_path, ["heights.tif"])
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(tmp_path / "heights.png")
    with pytest.raises(DataError, match="too far apart"):
        guess_encoding(count_values(tmp_path, ["heights.png"]))
    Image.new("L", (1, 1)).save(tmp_path / "l.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "c.png")
    with pytest.raises(DataError, match="expected a mask with colors") as caught:
        count_values(tmp_path, ["c.png", "l.png"])
    assert "l.png" in caught.value.where


def test_inner_pixels_and_pieces_are_counted_in_one_go_and_in_parts(tmp_path, monkeypatch):
    mask = np.zeros((60, 40), np.uint8)
    mask[5:9, 5:11] = 3  # one piece
    mask[20:50, 4:7] = 4  # one piece that several parts share
    mask[20:23, 20:23] = mask[30:32, 30:32] = 5  # two pieces
    mask[52:57, 20:25] = 6
    mask[54, 22] = 0  # one piece with a hole
    Image.fromarray(mask).save(tmp_path / "m.png")
    whole = count_values(tmp_path, ["m.png"])
    assert whole.inner[3] == 2 * 4
    assert whole.pieces == 2 / 4, "3 and 4 of 3, 4, 5 and 6"
    monkeypatch.setattr(values, "_STRIP_PIXELS", 7 * 40)
    parts = count_values(tmp_path, ["m.png"])
    assert (parts.counts, parts.pieces, parts.sets) == (whole.counts, whole.pieces, whole.sets)
