"""The benchmarks in their original layouts, built out of the genuine samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.prepare import BENCHMARKS, PrepareReport, PrepareSettings, prepare
from rsmtdf_core.scenes.manifest import load_manifest
from tests.pipeline.data.prepare.refusals import IMAGE, MASK, SIZE


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def run(benchmark: str, source: Path, to: Path, **settings) -> PrepareReport:
    """Prepare with --partial, as the built folders have fewer tiles than the benchmarks."""
    values = {"partial": True, **settings}
    return prepare(PrepareSettings(benchmark=benchmark, source=(source,), to=to, **values))


@pytest.fixture(scope="session")
def loveda(shared, tmp_path_factory) -> Path:
    """Two images in Train and one image in Val."""
    root = tmp_path_factory.mktemp("loveda")
    sample = shared / "data" / "loveda_sample"
    for name, folder_name in (("0", "Train/Rural"), ("1", "Train/Urban"), ("2", "Val/Rural")):
        for kind in ("images", "masks"):
            folder = root / folder_name / f"{kind}_png"
            folder.mkdir(parents=True)
            (folder / f"{name}.png").write_bytes((sample / kind / f"{name}.png").read_bytes())
    return root


@pytest.fixture(scope="session")
def deepglobe(shared, tmp_path_factory) -> Path:
    """The two images of the sample in the train folder, and an image of valid, which has no mask."""
    root = tmp_path_factory.mktemp("deepglobe")
    for folder in ("train", "valid"):
        (root / folder).mkdir()
    for file in (shared / "data" / "deepglobe_sample").iterdir():
        (root / "train" / file.name).write_bytes(file.read_bytes())
    image = (root / "train" / "266_sat.jpg").read_bytes()
    (root / "valid" / "999_sat.jpg").write_bytes(image)
    return root


@pytest.fixture(scope="session")
def potsdam_ids(shared) -> np.ndarray:
    """Class ids of a 6000 x 6000 tile, the sample repeated; 255 on its boundaries."""
    sample = opened(next((shared / "data" / "potsdam_sample" / "masks").iterdir()))
    ids = np.where(sample == 0, 255, sample - 1).astype(np.uint8)
    return np.tile(ids, (12, 12))[:6000, :6000]


@pytest.fixture(scope="session")
def potsdam(shared, potsdam_ids, tmp_path_factory) -> Path:
    """A tile of full size, with labels in slightly different colors and black boundaries."""
    root = tmp_path_factory.mktemp("potsdam")
    sample = opened(next((shared / "data" / "potsdam_sample" / "images").iterdir()))
    image = np.tile(sample, (12, 12, 1))[:6000, :6000]
    colors = np.zeros((256, 3), np.uint8)
    colors[:6] = np.clip(load_manifest("potsdam").palette.astype(int), 9, 240)
    for folder, name, pixels in (
        ("2_Ortho_RGB", "RGB", image),
        ("5_Labels_all", "label", colors[potsdam_ids]),
    ):
        (root / folder).mkdir()
        Image.fromarray(pixels).save(root / folder / f"top_potsdam_2_10_{name}.tif")
    return root


@pytest.fixture
def small_benchmarks(monkeypatch):
    """DeepGlobe of two images and LoveDA of two, 600 px wide."""
    for name, counts in (("deepglobe", {"": 2}), ("loveda", {"Train": 1, "Val": 1})):
        changed = replace(BENCHMARKS[name], size=(SIZE, SIZE), counts=counts)
        monkeypatch.setitem(BENCHMARKS, name, changed)


@pytest.fixture
def root(tmp_path) -> Path:
    """DeepGlobe with two images."""
    (tmp_path / "data" / "train").mkdir(parents=True)
    for number in (1, 2):
        Image.new("RGB", (SIZE, SIZE), "#205080").save(tmp_path / "data" / IMAGE.format(number))
        Image.new("RGB", (SIZE, SIZE), "#00FF00").save(tmp_path / "data" / MASK.format(number))
    return tmp_path / "data"


@pytest.fixture
def loveda_root(tmp_path) -> Path:
    for part in ("Train", "Val"):
        for kind in ("images_png", "masks_png"):
            (tmp_path / "data" / part / "Rural" / kind).mkdir(parents=True)
            path = tmp_path / "data" / part / "Rural" / kind / "7.png"
            Image.new("RGB" if kind == "images_png" else "L", (SIZE, SIZE), 1).save(path)
    return tmp_path / "data"
