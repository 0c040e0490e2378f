"""An export for a program computes what `predict` does, read in the way of that program, and GeoDeep maps with it."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import pipeline.exchange.tiles
from pipeline.exchange.pair import facts_path
from pipeline.exchange.tiles import TileSettings, export_tiles
from pipeline.predict import predict
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.scenes.files import read_image
from tests.rasters import write_tiff

GEODEEP = TileSettings(program="geodeep", resolution=50)
QGIS = TileSettings(program="qgis", resolution=50)


@pytest.fixture(scope="module")
def exported(colorful, tmp_path_factory):
    """Exports by settings, made once."""
    out, reports = tmp_path_factory.mktemp("exported"), {}

    def export(settings):
        if settings not in reports:
            reports[settings] = export_tiles(colorful, out, settings)
        return reports[settings]

    return export


@pytest.fixture
def picture(scenes):
    """The pixels of a drawn scene, uint8 [72, 72, 3]."""
    return read_image(min((scenes / "images").iterdir()), None)


def as_deepness(file, tiles):
    """The class ids, [N, T, T], of tiles uint8 [N, T, T, C] as the plug-in computes them from file and metadata."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    texts = session.get_modelmeta().custom_metadata_map
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert all(isinstance(length, int) for length in (*taken.shape, *given.shape))
    assert taken.shape[2] == taken.shape[3] == json.loads(texts["tile_size"])
    assert len(given.shape) == 4
    assert given.shape[2] == given.shape[3]
    assert str(json.loads(texts["model_type"])).capitalize() == "Segmentor"
    names = json.loads(texts["class_names"])
    assert [int(key) for key in names] == list(range(given.shape[1]))
    assert 0 <= int(json.loads(texts["tiles_overlap"])) < 100
    assert float(json.loads(texts["resolution"])) > 0
    assert int(json.loads(texts["seg_small_segment"])) == 0
    ids = []
    for tile in tiles:
        values = np.float32(tile[None] * 1.0 / 255.0)
        assert values.shape[3] == taken.shape[1]
        (result,) = session.run(None, {taken.name: np.transpose(values, (0, 3, 1, 2))})
        result[result < float(json.loads(texts["seg_thresh"]))] = 0.0
        ids.append(np.argmax(result, axis=1)[0])
    return np.stack(ids), names


def test_deepness_reads_the_model_and_gets_the_classes_of_the_run(exported, colorful, picture):
    report = exported(QGIS)
    trained = load_run(colorful)
    tile = picture[:64, :64]
    ids, names = as_deepness(report.file, [tile])
    assert tuple(names.values()) == trained.manifest.class_names
    pixels = torch.from_numpy(tile.copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = trained.student.logits(trained.student.normalise(pixels))
    assert np.array_equal(ids, logits.argmax(dim=1).numpy())
    assert len(np.unique(ids)) > 1, "the map shows several classes"


@pytest.mark.filterwarnings("ignore")  # its own
def test_geodeep_maps_a_geotiff_as_predict_does(exported, colorful, picture, tmp_path):
    geodeep = pytest.importorskip("geodeep", reason="the package geodeep is not installed")
    from geodeep.geodeep import median_filter

    report = exported(GEODEEP)
    # One tile, then several: GeoDeep cuts off half of an overlap where predict blends.
    rasters = {"one": picture[:64, :64], "many": np.tile(picture, (2, 3, 1))}
    for name, pixels in rasters.items():
        bands = np.moveaxis(pixels, 2, 0)
        path = write_tiff(tmp_path / f"{name}.tif", bands, photometric="RGB")
        mask = geodeep.segment(str(path), str(report.file), output_type="raw", max_threads=1)
        (predicted,) = predict(colorful, [path], tmp_path / "maps")
        with pytest.importorskip("rasterio").open(predicted) as dataset:
            expected = median_filter(dataset.read(1), 5)
        assert mask.shape == expected.shape
        assert len(np.unique(expected)) > 1, "the map shows several classes"
        agreement = (mask == expected).mean()
        assert agreement == 1 if name == "one" else agreement > 0.8, (name, agreement)
        collection = json.loads(geodeep.segment(str(path), str(report.file), output_type="geojson"))
        classes = {feature["properties"]["class"] for feature in collection["features"]}
        assert classes <= set(load_run(colorful).manifest.class_names)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_loss_of_a_precision_is_measured_and_recorded(exported, precision):
    settings = GEODEEP.model_copy(update={"precision": precision})
    report = exported(settings)
    facts = json.loads(report.facts.read_text())
    assert facts["loss"] == report.loss.model_dump(mode="json")
    assert report.loss.origin == "windows of 2 scenes of the split val"
    least = {"fp32": 0.9999, "fp16": 0.99, "int8": 0.7}[precision]
    assert least < report.loss.agreement <= 1
    assert (precision == "fp32") == (report.loss.difference < 1e-5)
    assert facts["input"]["shape"] == list(report.input) == [1, 3, 64, 64]
    assert facts["output"]["shape"] == list(report.output) == [1, 6, 64, 64]
    model = onnx.load(report.file)
    onnx.checker.check_model(model)
    (opset,) = (entry.version for entry in model.opset_import if entry.domain == "")
    assert opset == report.opset == facts["opset"]
    assert {entry.key: entry.value for entry in model.metadata_props} == facts["metadata"]
    (taken,), (given,) = model.graph.input, model.graph.output
    assert taken.type.tensor_type.elem_type == given.type.tensor_type.elem_type == 1, "float32"
    whole = exported(GEODEEP).file.stat().st_size
    assert report.file.stat().st_size < {"fp32": 1.01, "fp16": 0.6, "int8": 0.5}[precision] * whole


def test_a_program_must_know_the_size_of_pixels(colorful, tmp_path):
    with pytest.raises(ConfigError, match="no georeference") as caught:
        export_tiles(colorful, tmp_path / "out", TileSettings(program="qgis"))
    assert "--resolution 30" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_an_existing_file_is_kept(exported, colorful):
    report = exported(GEODEEP)
    with pytest.raises(RunError, match="exists already"):
        export_tiles(colorful, report.file.parent, GEODEEP)
    assert facts_path(report.file).is_file()


@pytest.mark.parametrize(
    ("factor", "match"), [(0.5, "differs from the run's model by"), (np.nan, "is not finite")]
)
def test_a_model_that_computes_something_else_is_not_kept(
    exported, colorful, tmp_path, monkeypatch, factor, match
):
    read = pipeline.exchange.tiles.read_tile_model

    def wrong(file):
        run = read(file)
        return lambda tiles: run(tiles) * factor

    monkeypatch.setattr(pipeline.exchange.tiles, "read_tile_model", wrong)
    written = exported(GEODEEP).file
    monkeypatch.setattr(
        pipeline.exchange.tiles,
        "write_tile_model",
        lambda _model, _side, file, *_rest: (
            file.write_bytes(written.read_bytes()) if file.parent.mkdir() is None else None
        ),
    )
    with pytest.raises(RunError, match=match):
        export_tiles(colorful, tmp_path / "out", GEODEEP)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_changed_class_is_a_caution(exported, colorful, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline.exchange.tiles, "WORTH_A_WARNING", 1.1)
    report = export_tiles(colorful, tmp_path, GEODEEP)
    assert any("changes the class of 0.0% of the pixels" in text for text in report.cautions)


def test_the_side_of_a_tile_fits_the_student(runs_of_vit, tmp_path):
    with pytest.raises(ConfigError, match="multiple of the model's patch size of 16 px") as caught:
        export_tiles(runs_of_vit, tmp_path, QGIS.model_copy(update={"tile": 70}))
    assert caught.value.remedy == "--tile 64"
    report = export_tiles(runs_of_vit, tmp_path, QGIS.model_copy(update={"tile": 96}))
    assert report.input == (1, 3, 96, 96)


@pytest.fixture
def runs_of_vit(make_config):
    from pipeline.train.run import train

    words = ["objective.method=supervised", "student.encoder=test_vit", "optimiser.max_steps=1"]
    return train(make_config(*words)).run
