"""Area and distance are those of the files, wherever on Earth they are and in whatever CRS."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from pipeline.runs.report.ground import Ground, ground
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest

SIDE = 64  # px
MANIFEST = {
    "name": "placed",
    "title": "Placed scenes",
    "classes": [{"name": "a", "color": "#000000"}, {"name": "b", "color": "#FFFFFF"}],
    "images": "{part}_{name}.tif",
    "masks": "masks/{part}_{name}.tif",
    "mask_encoding": {"encoding": "indices"},
    "splits": {"train": {"where": {"part": ["train"]}}, "test": {"where": {"part": ["test"]}}},
}
METERS = 1 / 111_320  # degrees, at the equator


def place(path: Path, west: float, north: float, pixel: float, crs: str | None) -> None:
    transform = rasterio.Affine(pixel, 0, west, 0, -pixel, north) if crs else None
    profile = {"width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "crs": crs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as file:
            file.write(np.zeros((1, SIDE, SIDE), np.uint8))


def ground_of(folder: Path, **changes) -> Ground:
    manifest = folder / "manifest.yaml"
    manifest.write_text(yaml.safe_dump(MANIFEST | changes))
    dataset = find_scenes(load_manifest(str(manifest)), folder)
    return ground(dataset, "test", dataset.splits["test"])


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pixel=st.floats(0.1, 10),
    gap=st.integers(-SIDE + 2, 200),
    zone=st.integers(1, 60),
    north=st.floats(1e6, 6e6),
)
def test_area_and_distance_are_those_on_the_ground(tmp_path, pixel, gap, zone, north):
    """A test scene `gap` pixels east of a training scene."""
    crs = f"EPSG:{32600 + zone}"
    west = 500_000.0  # the central meridian, where meters are 0.04 % too long
    place(tmp_path / "train_0.tif", west, north, pixel, crs)
    place(tmp_path / "test_0.tif", west + (SIDE + gap) * pixel, north, pixel, crs)
    found = ground_of(tmp_path)
    assert found.area == pytest.approx((SIDE * pixel) ** 2, rel=2e-3)
    assert found.overlapping == (gap < -1)
    assert found.distance == pytest.approx(max(0, gap) * pixel, rel=2e-3, abs=0.02 * pixel)
    assert (found.training, found.shared, found.tiles) == (1, 0, False)


def test_degrees_are_meters_on_the_ground(tmp_path):
    place(tmp_path / "train_0.tif", 10.0, 0.0, METERS, "EPSG:4326")
    place(tmp_path / "test_0.tif", 10.0 + 1000 * METERS, 0.0, METERS, "EPSG:4326")
    found = ground_of(tmp_path)
    assert found.area == pytest.approx(SIDE**2, rel=0.01)
    assert found.distance == pytest.approx(1000 - SIDE, rel=0.01)


def test_windows_that_overlap_count_once_and_share_their_image(tmp_path):
    for part in ("train", "test"):
        place(tmp_path / f"{part}_0.tif", 500_000, 5e6, 1, "EPSG:32632")
    windows = {"window": {"size": 32, "stride": 16}}
    found = ground_of(tmp_path, **windows, parent=["name"])
    assert found.area == pytest.approx(SIDE**2, rel=2e-3)
    assert found.shared == found.overlapping == 9
    assert found.tiles


def test_windows_in_blocks_are_apart_by_the_buffer(tmp_path):
    """Blocks of a single image separate its windows: they share the image, but no ground."""
    place(tmp_path / "all_0.tif", 500_000, 5e6, 2, "EPSG:32632")
    splits = {
        "train": {"share": [0, 0.5], "by": "block"},
        "test": {"share": [0.5, 1], "by": "block"},
    }
    blocks = {"size": 32, "buffer": 4, "unit": "px"}
    windows = {"size": 8, "stride": 8}
    found = ground_of(tmp_path, splits=splits, blocks=blocks, window=windows)
    assert found.shared == found.overlapping == 0
    assert found.blocks == "blocks of 32 px with a buffer of 4 px"
    # The first window whose side is at least 4 px away from the border of a block begins 8 px away from it.
    assert found.distance == pytest.approx(2 * 8 * 2, rel=2e-3)


def test_a_window_and_its_neighbor_share_the_image_and_touch(tmp_path):
    place(tmp_path / "all_0.tif", 500_000, 5e6, 2, "EPSG:32632")
    splits = {
        "train": {"share": [0, 0.5], "by": "crop"},
        "test": {"share": [0.5, 1], "by": "crop"},
    }
    found = ground_of(tmp_path, splits=splits, window={"size": 16, "stride": 16})
    assert (found.shared, found.overlapping) == (8, 0)
    assert found.distance == pytest.approx(0, abs=1e-3)
    assert found.area == pytest.approx(8 * (16 * 2) ** 2, rel=2e-3)


def test_without_a_georeference_there_is_no_area_and_no_distance(tmp_path):
    place(tmp_path / "train_0.tif", 500_000, 5e6, 1, "EPSG:32632")
    place(tmp_path / "test_0.tif", 500_000, 5e6, 1, None)
    found = ground_of(tmp_path)
    assert found.area is found.distance is None
    (tmp_path / "test_0.tif").unlink()
    (tmp_path / "train_0.tif").rename(tmp_path / "test_0.tif")
    place(tmp_path / "train_0.tif", 500_000, 5e6, 1, None)
    found = ground_of(tmp_path)
    assert found.area == pytest.approx(SIDE**2, rel=2e-3)
    assert found.distance is None
