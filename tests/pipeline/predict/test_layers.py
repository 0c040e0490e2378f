"""Layers of a prediction contain class ids and probabilities of the logits, and nodata outside of the data."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.predict.inputs import Job
from pipeline.predict.layers import (
    BY_BLOCKS,
    NO_DATA,
    STEPS,
    derive,
    is_whole,
    layer_block,
    open_layer,
)
from pipeline.predict.members import Block
from rsmtdf_core.maps.polygons import EXACT
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import load_manifest
from tests.rasters import CRS, TRANSFORM, rasterio

MANIFEST = load_manifest("synthetic")
CLASSES = len(MANIFEST.classes)
IGNORE = MANIFEST.ignore_id


@given(st.integers(2, 6), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**16))
def test_blocks_hold_the_most_likely_class_and_rounded_probabilities(classes, rows, columns, seed):
    draws = np.random.default_rng(seed)
    logits = torch.from_numpy(
        draws.standard_normal((classes, rows, columns)).astype(np.float32) * 5
    )
    valid = draws.random((rows, columns)) < 0.7
    block = Block(logits, torch.rand(rows, columns))
    ids, probabilities, confidence = (
        layer_block(kind, block, valid, IGNORE) for kind in ("map", "probabilities", "confidence")
    )
    assert (ids.shape, probabilities.shape) == ((1, rows, columns), (classes, rows, columns))
    assert np.array_equal(ids[0][valid], logits.argmax(dim=0).numpy()[valid])
    exact = logits.double().softmax(dim=0).numpy()
    assert (np.abs(probabilities[:, valid] / STEPS - exact[:, valid]) <= 0.501 / STEPS).all()
    assert np.array_equal(confidence[0][valid], probabilities.max(axis=0)[valid])
    assert (ids[:, ~valid] == IGNORE).all()
    assert (probabilities[:, ~valid] == NO_DATA).all()
    assert (confidence[:, ~valid] == NO_DATA).all()
    assert probabilities[:, valid].max(initial=0) <= STEPS < NO_DATA
    disagreement = layer_block("disagreement", block, valid, IGNORE)
    assert np.abs(disagreement[0] / STEPS - block.disagreement.numpy())[valid].max(initial=0) < 0.01


def test_a_temperature_changes_confidences_and_no_class():
    logits = torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(0))
    block, valid = Block(logits, torch.zeros(6, 7)), np.ones((6, 7), bool)
    maps, confidences = (
        [layer_block(kind, block, valid, IGNORE, temperature) for temperature in (1.0, 2.0)]
        for kind in ("map", "confidence")
    )
    assert np.array_equal(*maps)
    assert (confidences[0] > confidences[1]).all()
    exact = (logits / 2).softmax(dim=0).amax(dim=0).numpy()
    assert np.abs(confidences[1][0] / STEPS - exact).max() <= 0.501 / STEPS


def test_facts_are_tags_of_the_layer(tmp_path):
    job = Job(tmp_path / "a.tif", {"confidence": tmp_path / "layer.tif"})
    tags = {"calibration": "temperature 2"}
    frame = Frame(30, 20, rasterio.crs.CRS.from_user_input(CRS), TRANSFORM)
    with open_layer(job, "confidence", frame, MANIFEST, cog=False, tags=tags) as writer:
        writer.write(0, 0, blocks(1))
    with rasterio.open(job.files["confidence"]) as layer:
        assert layer.tags()["calibration"] == "temperature 2"


def blocks(bands):
    draws = np.random.default_rng(0)
    return draws.integers(0, CLASSES, (bands, 20, 30), np.uint8)


def write(job, kind, values, frame):
    with open_layer(job, kind, frame, MANIFEST, cog=False) as writer:
        for top in (0, 16):
            for left in (0, 16):
                writer.write(top, left, values[:, top : top + 16, left : left + 16])
        assert not job.files[kind].exists(), "the file appears whole"


def test_a_pictures_map_is_a_palette_png_of_class_ids(tmp_path):
    values = blocks(1)
    values[0, :5] = IGNORE
    job = Job(tmp_path / "a.png", {"map": tmp_path / "map.png", "panel": tmp_path / "panel.png"})
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(job.source)
    write(job, "map", values, Frame(30, 20))
    with Image.open(job.files["map"]) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), values[0])
        colors = np.asarray(picture.convert("RGB"))
    assert np.array_equal(colors[5:], MANIFEST.palette[values[0, 5:]])
    derive(job, "panel", MANIFEST, None, EXACT)
    assert is_whole(job.files["panel"])


@pytest.mark.parametrize("kind", BY_BLOCKS)
def test_a_rasters_layers_are_geotiffs_with_its_georeference(tmp_path, kind):
    bands = CLASSES if kind == "probabilities" else 1
    values = blocks(bands)
    job = Job(tmp_path / "a.tif", {kind: tmp_path / "layer.tif"})
    write(job, kind, values, Frame(30, 20, rasterio.crs.CRS.from_user_input(CRS), TRANSFORM))
    with rasterio.open(job.files[kind]) as layer:
        assert np.array_equal(layer.read(), values)
        assert (layer.crs, layer.transform) == (CRS, TRANSFORM)
        assert layer.nodata == (IGNORE if kind == "map" else NO_DATA)
        assert layer.count == bands
        if kind != "map":
            assert layer.scales == pytest.approx((1 / STEPS,) * bands)
        else:
            assert layer.colormap(1)[1][:3] == tuple(MANIFEST.palette[1])


def test_polygons_are_made_from_the_map(tmp_path):
    files = {"map": tmp_path / "map.tif", "polygons": tmp_path / "map.geojson"}
    job = Job(tmp_path / "a.tif", files)
    values = np.zeros((1, 20, 30), np.uint8)
    values[0, :, 15:] = 1
    write(job, "map", values, Frame(30, 20, rasterio.crs.CRS.from_user_input(CRS), TRANSFORM))
    derive(job, "polygons", MANIFEST, None, EXACT)
    features = json.loads(files["polygons"].read_text())["features"]
    assert {feature["properties"]["class"] for feature in features} == set(MANIFEST.class_names[:2])
    assert is_whole(files["polygons"])
    content = files["polygons"].read_bytes()
    files["polygons"].write_bytes(content[: len(content) // 2])
    assert not is_whole(files["polygons"])


def test_an_error_leaves_no_layer(tmp_path):
    for name in ("a.png", "a.tif"):
        job = Job(tmp_path / name, {"map": tmp_path / f"map-{name}"})
        with pytest.raises(KeyError), open_layer(job, "map", Frame(30, 20), MANIFEST, cog=False):
            raise KeyError
    assert list(tmp_path.iterdir()) == []
