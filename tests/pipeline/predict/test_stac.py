"""An item has the structure of STAC 1.1 and of the extension MLM, and its paths lead to the files."""

import json
import re
from datetime import datetime

import pytest

from pipeline.predict import PredictSettings, predict
from pipeline.predict.stac import is_item
from tests.rasters import CRS, TRANSFORM

ALL = PredictSettings(polygons=True, confidence=True, stac=True)


@pytest.fixture
def item(run, raster, tmp_path):
    (path,) = predict(run, [raster], tmp_path / "out", ALL)
    return path.with_name("a-stac.json")


def test_an_item_describes_the_map(item, raster):
    value = json.loads(item.read_text())
    assert (value["type"], value["stac_version"], value["id"]) == ("Feature", "1.1.0", "a")
    west, south, east, north = value["bbox"]
    assert west < east
    assert south < north
    (ring,) = value["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert len(ring) == 5
    assert min(x for x, _ in ring) == pytest.approx(west, abs=1e-6)
    properties = value["properties"]
    datetime.strptime(properties["datetime"], "%Y-%m-%dT%H:%M:%SZ")
    assert properties["proj:code"] == CRS
    assert properties["proj:shape"] == [90, 150]
    assert properties["proj:transform"] == list(TRANSFORM)[:6]
    for asset in value["assets"].values():
        assert (item.parent / asset["href"]).is_file(), asset
        assert asset["roles"]
    assert {"map", "panel", "style", "polygons", "confidence", "model"} == set(value["assets"])
    (link,) = value["links"]
    assert (item.parent / link["href"]).samefile(raster)
    assert is_item(item)


def test_its_model_is_in_the_fields_of_mlm(item):
    """As the schema of MLM requires them."""
    value = json.loads(item.read_text())
    properties = value["properties"]
    assert any("/mlm/" in url for url in value["stac_extensions"])
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", properties["mlm:name"])
    assert properties["mlm:tasks"] == ["semantic-segmentation"]
    assert re.match(r"\d+\.\d+\.\d+", properties["mlm:framework_version"])
    assert properties["mlm:total_parameters"] > 1000
    (taken,), (given,) = properties["mlm:input"], properties["mlm:output"]
    assert {band["name"] for band in properties["bands"]} >= set(taken["bands"])
    for structure in (taken["input"], given["result"]):
        assert len(structure["shape"]) == len(structure["dim_order"]) == 4
        assert structure["data_type"] in {"uint8", "float32"}
    classes = given["classification:classes"]
    assert [entry["value"] for entry in classes] == list(range(6))
    assert all(re.fullmatch(r"[0-9A-Za-z-_]+", entry["name"]) for entry in classes)
    assert all(re.fullmatch(r"[0-9A-F]{6}", entry["color_hint"]) for entry in classes)
    assert value["assets"]["map"]["classification:classes"] == classes
    model = value["assets"]["model"]
    assert model["roles"] == ["mlm:model"]
    assert model["mlm:artifact_type"] == "safetensors"


def test_a_damaged_item_is_known(item):
    item.write_bytes(item.read_bytes()[:-9])
    assert not is_item(item)
