"""A checked dataset is shown: samples of each split, classes by split, and all of it as JSON."""

import json

import numpy as np
import pytest
from PIL import Image

from pipeline.data.check import check_data, sample_rows
from pipeline.demo.scenes import draw_scenes
from rsmtdf_core.scenes.find import Dataset, find_scenes
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.reader import SceneReader


@pytest.fixture
def root(tmp_path):
    draw_scenes(tmp_path / "data", 20, 64, seed=0)
    return tmp_path / "data"


def test_no_file_is_written_without_an_output_folder(root):
    before = sorted(root.parent.rglob("*"))
    assert check_data(load_manifest("synthetic"), root).problems == ()
    assert sorted(root.parent.rglob("*")) == before


def test_samples_classes_and_json_are_written(root, tmp_path):
    manifest = load_manifest("synthetic")
    result = check_data(manifest, root, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "check.json",
        "classes.png",
        "samples.png",
    ]
    with Image.open(tmp_path / "out" / "samples.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        # Three splits of up to three scenes, panels of 480 px below each other.
        assert picture.height > 8 * 480
        assert picture.width < 3 * 480
    shown = {tuple(color) for color in np.unique(pixels, axis=0).tolist()}
    assert sum(tuple(color) in shown for color in manifest.palette.tolist()) >= 5
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == result.model_dump(
        mode="json"
    )


def test_damaged_files_are_left_out_of_the_samples_and_named(root, tmp_path):
    manifest = load_manifest("synthetic")
    for image in (root / "images").iterdir():
        image.write_bytes(b"no image")
    result = check_data(manifest, root, tmp_path / "out")
    assert len(result.problems) == 20
    assert not (tmp_path / "out" / "samples.png").exists()
    assert (tmp_path / "out" / "classes.png").exists()


def test_each_split_of_single_crops_shows_its_windows(tmp_path):
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    Image.fromarray(pixels).save(root / "images" / "a.png")
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(root / "masks" / "a.png")
    manifest = Manifest.model_validate(
        {
            "name": "windows",
            "title": "Windows",
            "classes": [{"name": "all", "color": "#00FF00"}],
            "images": "images/{name}.png",
            "masks": "masks/{name}.png",
            "mask_encoding": {"encoding": "indices"},
            "window": {"size": 16, "stride": 16},
            "splits": {
                "train": {"share": [0, 0.6], "by": "crop"},
                "val": {"share": [0.6, 0.8], "by": "crop"},
                "test": {"share": [0.8, 1], "by": "crop"},
            },
        }
    )
    reader = SceneReader(Dataset(manifest, root, {}))
    members = find_scenes(manifest, root).splits
    for split, scenes in members.items():
        rows = sample_rows(reader, split, scenes)
        shown = {row.title.removeprefix(f"{split}: ") for row in rows}
        assert len(shown) == len(rows) == 3
        assert shown <= {scene.id for scene in scenes}
