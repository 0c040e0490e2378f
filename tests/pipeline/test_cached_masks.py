"""Cached pixels never show masks of another encoding, of other files, or as another version read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import pipeline.pixel_store
from pipeline.config import load_config
from pipeline.extract.run import extract
from pipeline.pixel_store import find_pixels
from pipeline.plan import plan_experiment
from rsmtdf_core.cache_names import MASKS
from rsmtdf_core.errors import StoreError, StoreMismatchError
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.formats import seal
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.views.records import pixel_record
from rsmtdf_core.views.render import ViewRenderer

rasters = pytest.importorskip("tests.rasters")

SIZE = 64
CONFIG = """
name: t
data: {manifest: FOLDER/manifest.yaml, root: FOLDER, labeled: 1}
views: {crop: 64, unlabeled_views: 1, labeled_views: 2}
teachers: []
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
objective: {method: supervised}
optimiser: {epochs: 1, batch: 2}
runtime: {device: cpu, workers: 0, cache: FOLDER/cache, runs: FOLDER/runs, cache_pixels: true}
evaluation: {inference: {mode: slide, window: 64}}
"""
CLASSES = [{"name": name, "color": color} for name, color in
           (("a", "#000000"), ("b", "#FF0000"), ("c", "#00FF00"))]  # fmt: skip

Changed = Callable[[Path, dict[str, Any]], None]


def write(root: Path, folder: str, bands: int, top: int, seed: int) -> None:
    """Four images of noise in areas of 8 px."""
    (root / folder).mkdir(exist_ok=True)
    for number in range(4):
        cells = np.random.default_rng([seed, number]).integers(0, top, (bands, 8, 8), np.uint8)
        values = cells.repeat(SIZE // 8, axis=1).repeat(SIZE // 8, axis=2)
        if folder == "colors":
            values = np.array([[0, 255, 0], [0, 0, 255], [0, 0, 0]], np.uint8)[:, values[0]]
            values[:, :9, :9] = np.array([230, 130, 0], np.uint8)[:, None, None]
        rasters.write_tiff(root / folder / f"t{number}.tif", values, blockxsize=16, blockysize=16)


@pytest.fixture
def root(tmp_path) -> Path:
    """Images of four scenes with masks of class indices, others, and masks of colours."""
    write(tmp_path, "images", 3, 256, 0)
    write(tmp_path, "masks", 1, 3, 1)
    write(tmp_path, "others", 1, 3, 2)
    write(tmp_path, "colors", 1, 3, 1)
    return tmp_path


def manifest(**changes: object) -> dict[str, Any]:
    return {
        "name": "t",
        "title": "t",
        "classes": CLASSES,
        "images": "images/{name}.tif",
        "masks": "masks/{name}.tif",
        "mask_encoding": {"encoding": "indices", "ignore": []},
        "splits": {"train": {}},
        **changes,
    }


def config(root: Path, spec: dict[str, Any]):
    (root / "manifest.yaml").write_text(yaml.safe_dump(spec))
    (root / "t.yaml").write_text(CONFIG.replace("FOLDER", str(root)))
    return load_config(str(root / "t.yaml"), [])


def rendered(experiment) -> list[bytes]:
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    return [pixel_record(renderer, row).tobytes() for row in range(len(experiment.plan))]


def served(experiment) -> list[bytes]:
    """The records that a training would read, by plan row."""
    store = find_pixels(experiment)
    reader = FeatureReader(store, store.require(experiment.plan), "always")
    records = np.empty((len(experiment.plan), *store.codec.stored_shape), np.uint8)
    reader.gather(np.arange(len(experiment.plan)), records)
    return [record.tobytes() for record in records]


def key(**changes: object) -> Changed:
    return lambda _root, spec: spec.update(changes)


def encoding(**changes: object) -> Changed:
    return lambda _root, spec: spec["mask_encoding"].update(changes)


def mask_in_another_file(root: Path, _spec: dict[str, Any]) -> None:
    for number in range(4):
        name = f"t{number}.tif"
        (root / "masks" / name).write_bytes((root / "others" / name).read_bytes())


def nodata_of_a_mask(root: Path, _spec: dict[str, Any]) -> None:
    for path in (root / "masks").iterdir():
        with rasters.rasterio.open(path, "r+") as dataset:
            dataset.nodata = 1


def nodata_next_to(folder: str) -> Changed:
    """In GDAL's metadata file, which programs write if they may not change the raster."""
    text = "<PAMDataset>{}</PAMDataset>"
    band = '<PAMRasterBand band="{}"><NoDataValue>1</NoDataValue></PAMRasterBand>'

    def change(root: Path, _spec: dict[str, Any]) -> None:
        for path in list((root / folder).glob("*.tif")):
            bands = "".join(band.format(number) for number in (1, 2, 3))
            path.with_name(f"{path.name}.aux.xml").write_text(text.format(bands))

    return change


def mask_next_to(folder: str) -> Changed:
    """GDAL's external mask: the left half has no data."""

    def change(root: Path, _spec: dict[str, Any]) -> None:
        inside = np.zeros((1, SIZE, SIZE), np.uint8)
        inside[..., SIZE // 2 :] = 255
        for path in list((root / folder).glob("*.tif")):
            mask = path.with_name(f"{path.name}.msk")
            rasters.write_tiff(mask, inside, blockxsize=16, blockysize=16)
            with rasters.rasterio.open(mask, "r+") as dataset:
                dataset.update_tags(**{f"INTERNAL_MASK_FLAGS_{band}": 2 for band in (1, 2, 3)})

    return change


INDICES: dict[str, Changed] = {
    "offset": encoding(offset=-1, ignore=[2]),
    "ignore": encoding(ignore=[1]),
    "ignore_id": key(ignore_id=77, mask_encoding={"encoding": "indices", "ignore": [1]}),
    "masks": key(masks="others/{name}.tif"),
    "encoding": key(masks="colors/{name}.tif", mask_encoding={"encoding": "colors", "match": "nearest"}),
    "files": mask_in_another_file,
    "nodata": nodata_of_a_mask,
    "nodata next to a mask": nodata_next_to("masks"),
    "a mask's mask": mask_next_to("masks"),
}  # fmt: skip
COLORS: dict[str, Changed] = {
    "match": encoding(match="threshold"),
    "max_distance": encoding(max_distance=20.0),
    "ignore": encoding(ignore=["#FF0000"]),
    "classes": key(classes=[CLASSES[1], CLASSES[0], CLASSES[2]]),
    "colors": key(classes=[*CLASSES[:2], {"name": "c", "color": "#0000FF"}]),
}
BY_COLOR = {"encoding": "colors", "match": "nearest", "max_distance": 200}
CASES = [
    *((name, manifest(), change) for name, change in INDICES.items()),
    *(
        (name, manifest(masks="colors/{name}.tif", mask_encoding=BY_COLOR), change)
        for name, change in COLORS.items()
    ),
]


@pytest.mark.parametrize(
    ("spec", "change"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_changed_masks_are_never_served_from_old_pixels(root, spec, change):
    spec = yaml.safe_load(yaml.safe_dump(spec))
    before = plan_experiment(config(root, spec))
    extract(before.config)
    assert served(before) == rendered(before)
    old = rendered(before)
    change(root, spec)
    after = plan_experiment(config(root, spec))
    assert rendered(after) != old, "the change changes nothing"
    with pytest.raises(StoreError, match="extract-features") as caught:
        find_pixels(after)
    assert caught.value.remedy
    extract(after.config)
    assert served(plan_experiment(after.config)) == rendered(after)


def test_a_mask_next_to_an_image_invalidates_its_cached_views(root):
    experiment = plan_experiment(config(root, manifest()))
    extract(experiment.config)
    mask_next_to("images")(root, {})
    with pytest.raises(StoreMismatchError, match="the masks of 4 scenes"):
        find_pixels(experiment)
    with pytest.raises(StoreMismatchError, match="crops are rendered differently") as caught:
        extract(experiment.config)
    assert ".msk" in caught.value.remedy


def earlier_format(experiment, store: Path) -> None:
    """The sha256 of each mask's file, as versions before wrote it."""
    root = experiment.dataset.root
    digests = {scene.id: file_sha256(root / scene.mask) for scene in experiment.plan.scenes}
    write_json(store / MASKS, seal({"format": 1, "sha256": digests}))


def test_a_store_of_an_earlier_version_is_served_if_its_pixels_are_right(root):
    experiment = plan_experiment(config(root, manifest()))
    extract(experiment.config)
    earlier_format(experiment, find_pixels(experiment).path)
    assert served(experiment) == rendered(experiment)


def test_a_store_of_an_earlier_version_that_read_masks_in_another_way_is_not_served(root):
    """The earlier version ignored nodata values, so its cache equals that of files without them."""
    experiment = plan_experiment(config(root, manifest()))
    extract(experiment.config)
    store = find_pixels(experiment).path
    nodata_of_a_mask(root, {})
    earlier_format(experiment, store)
    with pytest.raises(StoreMismatchError, match="the masks of 4 scenes"):
        find_pixels(experiment)
    extract(experiment.config)
    assert served(experiment) == rendered(experiment)


def test_files_written_again_with_the_same_content_are_no_change(root):
    experiment = plan_experiment(config(root, manifest()))
    extract(experiment.config)
    for path in (root / "masks").iterdir():
        with rasters.rasterio.open(path, "r+") as dataset:
            dataset.update_tags(NOTE="looked at")
    assert served(experiment) == rendered(experiment)


def test_a_new_decoding_of_masks_compares_the_cache_once(root, monkeypatch):
    experiment = plan_experiment(config(root, manifest()))
    extract(experiment.config)
    digests = read_json(find_pixels(experiment).path / MASKS, StoreError)["sha256"]
    monkeypatch.setattr(pipeline.pixel_store, "DECODING", 2)
    assert served(experiment) == rendered(experiment)
    pipeline.pixel_store.record_masks(experiment, find_pixels(experiment))
    recorded = read_json(find_pixels(experiment).path / MASKS, StoreError)["sha256"]
    assert recorded.keys() == digests.keys()
    assert all(recorded[name] != digests[name] for name in digests)
