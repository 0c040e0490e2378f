"""Crops are the parts of their tiles, and existing crops are not cut again."""

import numpy as np
import pytest
from PIL import Image

from pipeline.data.prepare.benchmarks import CROP
from pipeline.data.prepare.crops import Cutter, cut_all
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.find import find_pairs
from tests.pipeline.data.prepare.drawn import HEIGHT, SMALL, WIDTH, draw_tiles, manifest_of

PADDING = 255


@pytest.fixture
def cutter(tmp_path):
    draw_tiles(tmp_path / "tiles")
    root = tmp_path / "tiles"
    return Cutter(SMALL, manifest_of(root), root, tmp_path / "crops", PADDING)


def pairs_of(cutter):
    return find_pairs(cutter.manifest, cutter.root)


def opened(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_crops_put_together_are_the_tile(cutter):
    (first, second) = pairs_of(cutter)
    assert cut_all(cutter, [first, second], Silent()) == 0
    for number, pair in enumerate((first, second)):
        tile = opened(cutter.root / pair.image).astype(int)
        ids = np.full((2 * CROP, 2 * CROP), PADDING)
        paths = cutter.paths(pair)
        assert len(paths) == 4
        for crop, (image_path, mask_path) in enumerate(paths, 1):
            left, top = SMALL.corner(crop)
            image, mask = (opened(cutter.to / path) for path in (image_path, mask_path))
            assert image.shape == (CROP, CROP, 3)
            ids[top : top + CROP, left : left + CROP] = mask
            part = tile[top : top + CROP, left : left + CROP]
            off = np.abs(image[: part.shape[0], : part.shape[1]] - part)
            assert np.median(off) <= 2, "a JPEG of a JPEG"
        border = 100 * (number + 1)
        assert (ids[:HEIGHT, :border] == 1).all()
        assert (ids[:HEIGHT, border:WIDTH] == 3).all()
        assert (ids[HEIGHT:] == PADDING).all()
        assert (ids[:, WIDTH:] == PADDING).all()


def test_only_changed_and_incomplete_tiles_are_cut_again(cutter, monkeypatch):
    cut, done = Cutter.cut, []

    def counted(cutter, pair):
        done.append(pair.id)
        return cut(cutter, pair)

    monkeypatch.setattr(Cutter, "cut", counted)
    first, second = pairs_of(cutter)
    cut_all(cutter, [first, second], Silent())
    cut_all(cutter, [first, second], Silent())
    assert sorted(done) == [first.id, second.id]
    cutter.files(first)[0].unlink()
    cut_all(cutter, [first, second], Silent())
    assert done[2:] == [first.id]
    Image.fromarray(opened(cutter.root / second.image)).save(cutter.root / second.image)
    cut_all(cutter, [first, second], Silent())
    assert done[3:] == [second.id]


def test_a_tile_without_a_mask_has_images_alone(cutter):
    (cutter.root / "0_mask.png").unlink()
    first, _ = pairs_of(cutter)
    cut_all(cutter, [first], Silent())
    assert {path.suffix for path in cutter.files(first)} == {".jpg"}
    assert all(path.is_file() for path in cutter.files(first))


def test_a_mask_of_another_size_is_named(cutter):
    Image.new("RGB", (10, 10)).save(cutter.root / "1_mask.png")
    with pytest.raises(DataError, match="10 x 10") as caught:
        cut_all(cutter, pairs_of(cutter), Silent())
    assert caught.value.where == str(cutter.root / "1_mask.png")
