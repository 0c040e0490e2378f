"""Scenes as GeoTIFFs of many bands: teachers and student see the chosen ones, as they would of a picture."""

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from pipeline.evaluate import evaluate
from pipeline.extract import extract
from pipeline.predict import predict
from pipeline.train import train
from tests.rasters import rasterio, write_tiff

# Five bands of 16 bits, of which the third, first and fifth show red, green and blue ten times as bright.
BANDS = {"indices": [3, 1, 5], "scale": [0, 2550]}


@pytest.fixture
def rasters(scenes: Path, tmp_path: Path) -> Path:
    """The drawn scenes as such rasters, and the manifest that reads them."""
    folder = tmp_path / "rasters"
    shutil.copytree(scenes / "masks", folder / "masks")
    (folder / "images").mkdir()
    for path in (scenes / "images").iterdir():
        with Image.open(path) as picture:
            red, green, blue = np.moveaxis(np.asarray(picture).astype(np.uint16) * 10, 2, 0)
        noise = np.full_like(red, 999)
        bands = np.stack([green, noise, red, noise, blue])
        write_tiff(folder / "images" / f"{path.stem}.tif", bands)
    manifest = yaml.safe_load((files("data_manifests") / "synthetic.yaml").read_text())
    manifest |= {"images": "images/{name}.tif", "bands": BANDS}
    (folder / "rasters.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def test_both_stages_see_the_chosen_bands(make_config, rasters, tmp_path):
    common = ["optimiser.max_steps=2", "evaluation.inference.overlap=0.25"]
    geo = [f"data.manifest={rasters / 'rasters.yaml'}", f"data.root={rasters}"]
    weights, crops = [], []
    for name, overrides in (("pictures", common), ("rasters", common + geo)):
        cache = tmp_path / f"cache-{name}"
        config = make_config(*overrides, f"name={name}", f"runtime.cache={cache}")
        extract(config)
        (group,) = cache.glob("views-*")
        crops.append(np.load(group / "crops.npy"))
        run = train(config).run
        newest = max((run / "checkpoints").iterdir())
        weights.append(load_file(newest / "student.safetensors"))
    assert crops[0].any()
    assert np.array_equal(*crops)  # checksums of what the teachers saw
    assert all(torch.equal(one, weights[1][name]) for name, one in weights[0].items())
    assert evaluate(run)[0].images == 2
    (path,) = predict(run, [min((rasters / "images").iterdir())], tmp_path / "maps")
    with rasterio.open(path) as found:
        assert found.crs is not None
