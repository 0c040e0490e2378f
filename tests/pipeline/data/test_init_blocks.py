"""`data init --blocks`: splits by block of georeferenced rasters, and of rasters without a georeference."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from pipeline.data.init.windows import block_spec
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import load_manifest
from tests.rasters import write_tiff

rasterio = pytest.importorskip("rasterio")


def rasters(folder, **profile):
    """Two rasters of 600 x 600 px of half a meter, with masks."""
    generator = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number, name in enumerate("ab"):
        image = generator.integers(1, 255, (3, 600, 600), np.uint8)
        mask = generator.integers(0, 2, (1, 600, 600), np.uint8)
        if profile.get("driver") == "PNG":
            Image.fromarray(np.moveaxis(image, 0, 2)).save(folder / "images" / f"{name}.png")
            Image.fromarray(mask[0]).save(folder / "masks" / f"{name}.png")
            continue
        place = {
            "transform": rasterio.Affine(0.5, 0, 4e5 + 300 * number, 0, -0.5, 2.8e6),
            **profile,
        }
        write_tiff(folder / "images" / f"{name}.tif", image, **place)
        write_tiff(folder / "masks" / f"{name}.tif", mask, **place)
    return folder


def init(folder, *options):
    command = ["data", "init", str(folder), "--yes", "--classes", "low,high", *options]
    return CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize(
    ("profile", "options", "expected"),
    [
        ({}, ("--blocks", "100", "--block-buffer", "10"), (100, 10, "m", None)),
        ({"driver": "PNG"}, ("--blocks", "256"), (256, 0, "px", None)),
    ],
)
def test_blocks_are_proposed_in_meters_or_pixels(tmp_path, profile, options, expected):
    folder = rasters(tmp_path / "data", **profile)
    result = init(folder, *options)
    assert result.exit_code == 0, result.output
    manifest = load_manifest(str(folder / "manifest.yaml"))
    blocks = manifest.blocks
    assert (blocks.size, blocks.buffer, blocks.unit, blocks.crs) == expected
    assert manifest.window.size == 128
    splits = find_scenes(manifest, folder).splits
    assert set(splits) == {"train", "val", "test"}
    assert all(splits.values())


def test_images_in_degrees_get_a_grid_in_their_utm_zone():
    degrees = rasterio.crs.CRS.from_epsg(4326)
    frames = [
        Frame(100, 100, degrees, rasterio.Affine(1e-5, 0, 9.0, 0, -1e-5, latitude))
        for latitude in (48.0, 48.5)
    ]
    assert block_spec(100, 5, frames).crs == "EPSG:32632"
    assert block_spec(100, 5, [*frames, Frame(100, 100)]).unit == "px"


def test_wrong_blocks_are_refused_before_anything_is_written(tmp_path):
    folder = rasters(tmp_path / "data")
    assert init(folder, "--block-buffer", "5").exit_code == 2
    for options in (("--blocks", "10", "--block-buffer", "20"), ("--blocks", "0")):
        with pytest.raises(ConfigError) as caught:
            init(folder, *options)
        assert "--blocks" in caught.value.where
    assert not (folder / "manifest.yaml").exists()


def test_folders_that_name_the_splits_leave_none_to_draw(tmp_path):
    for split in ("train", "test"):
        rasters(tmp_path / "data" / split)
    with pytest.raises(ConfigError, match="the folders name the splits"):
        init(tmp_path / "data", "--blocks", "100")
