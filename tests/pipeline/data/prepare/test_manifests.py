"""Manifests that are written are read back as they were, with the paths of this machine's files."""

import pytest

from pipeline.data.prepare.benchmarks import BENCHMARKS
from pipeline.data.prepare.layout import BenchmarkFolder
from pipeline.data.prepare.manifests import crop_id, original_manifest, write_manifest
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.pixel_masks import IndexMasks
from rsmtdf_core.scenes.split_settings import SplitSpec

DEEPGLOBE = BENCHMARKS["deepglobe"]


def layout_of(root, *, cropped=False):
    images, masks = (
        (DEEPGLOBE.crop_image, DEEPGLOBE.crop_mask)
        if cropped
        else (DEEPGLOBE.image, DEEPGLOBE.masks[0])
    )
    return BenchmarkFolder(root, f"a/{images.pattern}", f"b/{masks.pattern}", cropped)


def test_the_packaged_manifest_gets_the_paths_and_the_notes(tmp_path):
    packaged = load_manifest("deepglobe")
    manifest = original_manifest(
        DEEPGLOBE, "deepglobe", layout_of(tmp_path), "published", ("partial data",)
    )
    assert (manifest.images, manifest.masks) == ("a/{tile}_sat.jpg", "b/{tile}_mask.png")
    assert manifest.notes == (*packaged.notes, "partial data")
    for name in ("classes", "mask_encoding", "window", "splits"):
        assert getattr(manifest, name) == getattr(packaged, name)


def test_published_crops_have_no_windows_and_class_ids(tmp_path):
    manifest = original_manifest(
        DEEPGLOBE, "deepglobe", layout_of(tmp_path, cropped=True), "published"
    )
    assert manifest.window is None
    assert manifest.parent == ("tile",)
    assert manifest.mask_encoding == IndexMasks(encoding="indices", offset=0, ignore=(255,))


@pytest.mark.parametrize(("masks", "offset", "ignore"), [("ids", 0, 255), ("ids-from-1", 1, 0)])
def test_masks_may_hold_class_ids(tmp_path, masks, offset, ignore):
    manifest = original_manifest(DEEPGLOBE, "deepglobe", layout_of(tmp_path), masks)
    assert manifest.mask_encoding == IndexMasks(encoding="indices", offset=offset, ignore=(ignore,))


def test_crops_are_numbered_row_by_row():
    assert crop_id(DEEPGLOBE, "266@0,0") == "266/1"
    assert crop_id(DEEPGLOBE, "266@512,0") == "266/2"
    assert crop_id(DEEPGLOBE, "a@b@0,512") == "a@b/6"


def test_a_written_manifest_and_its_lists_are_read_back(tmp_path):
    manifest = original_manifest(DEEPGLOBE, "deepglobe", layout_of(tmp_path), "published")
    splits = {
        name: SplitSpec(scenes=scenes)
        for name, scenes in (("train", ("1", "\u00e9 2")), ("val", ("3",)), ("test", ("4",)))
    }
    listed = manifest.model_copy(update={"splits": splits, "labeled": ("1",), "name": "mine"})
    for expected in (manifest, listed):
        path = write_manifest(tmp_path / "out", expected, tmp_path)
        assert path == tmp_path / "out" / f"{expected.name}.yaml"
        assert load_manifest(str(path)) == expected
    assert (tmp_path / "out" / "mine" / "train.txt").read_text() == "1\n\u00e9 2\n"
    assert str(tmp_path) in path.read_text().splitlines()[0]
