"""Probabilities of several runs are averaged, and runs that predict something else are refused."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.calibrate.run import calibrate
from pipeline.predict import PredictSettings, predict
from pipeline.predict.layers import NO_DATA, STEPS
from pipeline.predict.members import Members, averaged, load_members
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.bands import BandSettings
from tests.pipeline.predict.helpers import Telling, read
from tests.rasters import rasterio


@given(st.integers(2, 4), st.integers(2, 5), st.integers(0, 2**16))
def test_the_mean_is_over_probabilities_and_disagreement_is_a_share(models, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(models, classes, 3, 2, generator=generator)
    block = averaged(logits)
    mean = logits.double().softmax(dim=1).mean(dim=0)
    assert torch.allclose(block.logits.double().softmax(dim=0), mean, atol=1e-6)
    assert 0 <= block.disagreement.min() <= block.disagreement.max() <= 1
    equal = averaged(logits[:1].expand(models, -1, -1, -1))
    assert equal.disagreement.max() < 1e-6


def test_certain_models_of_different_classes_disagree_entirely():
    logits = torch.full((2, 3, 1, 1), -100.0)
    logits[0, 0] = logits[1, 2] = 100
    assert float(averaged(logits).disagreement) == pytest.approx(1)
    half = torch.zeros(2, 2, 1, 1)
    half[0, 0] = 100
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) - math.log(2) / 2
    assert float(averaged(half).disagreement) == pytest.approx(entropy / math.log(2), rel=1e-5)


def test_maps_of_an_ensemble_are_those_of_the_mean(run, raster, tmp_path, monkeypatch):
    first, second = load_run(run), load_run(run, "student")
    second = replace(second, checkpoint=replace(second.checkpoint, digests={"other": "0" * 64}))
    for weight in second.student.parameters():
        weight.data.add_(
            0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        )
    settings = PredictSettings(probabilities=True, disagreement=True)

    def members(*runs):
        made = Members(tuple(runs), load_members(run, (), (), None).inference)
        monkeypatch.setattr("pipeline.predict.predictor.load_members", lambda *_: made)
        only = settings.model_copy(update={"disagreement": len(runs) > 1})
        out = tmp_path / f"out{len(runs)}-{runs[0] is second}"
        predict(run, [raster], out, only)
        return out

    alone = [read(members(each) / "a-probabilities.tif") for each in (first, second)]
    out = members(first, second)
    mean = read(out / "a-probabilities.tif")
    valid = mean[0] != NO_DATA
    expected = (alone[0].astype(float) + alone[1]) / 2
    assert np.abs(mean - expected)[:, valid].max() <= 1
    disagreement = read(out / "a-disagreement.tif")[0]
    assert disagreement[valid].max() > 0
    assert (disagreement[~valid] == NO_DATA).all()
    assert disagreement[valid].max() <= STEPS
    ids = read(out / "a.tif")[0]
    assert (ids[~valid] == first.manifest.ignore_id).all()
    with rasterio.open(out / "a-disagreement.tif") as layer:
        assert "mean probabilities of the runs" in layer.tags()["ensemble"]
    [fact] = json.loads((out / "predictions.json").read_text())["ensemble"]
    assert fact["checkpoint"] == second.checkpoint.fingerprint


def test_runs_of_other_classes_bands_or_scales_are_refused(run):
    first = load_run(run)
    other = replace(first, checkpoint=replace(first.checkpoint, digests={"other": "0" * 64}))
    inference = load_members(run, (), (), None).inference
    assert len(Members((first, other), inference).runs) == 2
    manifest = first.manifest
    classes = tuple(reversed(manifest.classes))
    scaled = BandSettings(scale=[0, 3000])
    for change, named in (
        ({"classes": classes}, "classes"),
        ({"bands": BandSettings(indices=(3, 2, 1))}, "bands"),
        ({"bands": scaled}, "bands"),
        ({"ignore_id": 254}, "ignore_id"),
    ):
        changed = replace(other, manifest=manifest.model_copy(update=change))
        with pytest.raises(ConfigError, match=named) as caught:
            Members((first, changed), inference)
        assert caught.value.where == str(run)
        assert caught.value.remedy


def test_a_run_given_twice_and_outputs_that_do_not_fit_are_refused(
    run, raster, tmp_path, monkeypatch
):
    with pytest.raises(ConfigError, match="given twice"):
        predict(run, [raster], tmp_path / "out", ensemble=[run])
    with pytest.raises(ConfigError, match="a single run cannot disagree"):
        predict(run, [raster], tmp_path / "out", PredictSettings(disagreement=True))
    made = load_members(run, (), (), None)
    pair = replace(
        made.runs[0], checkpoint=replace(made.runs[0].checkpoint, digests={"b": "0" * 64})
    )
    both = Members((*made.runs, pair), made.inference)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.predict.predictor.load_members", lambda *_: both)
        with pytest.raises(ConfigError, match="describes a single model"):
            predict(run, [raster], tmp_path / "out", PredictSettings(stac=True))
    assert not (tmp_path / "out").exists()


def test_confidences_are_calibrated_once_a_temperature_was_fitted(run, raster, tmp_path):
    run = shutil.copytree(run, tmp_path / "run")
    settings = PredictSettings(confidence=True, probabilities=True)
    predict(run, [raster], tmp_path / "before", settings)
    temperature = calibrate(run).temperature
    telling = Telling()
    predict(run, [raster], tmp_path / "after", settings, telling)
    assert not telling.warnings
    assert np.array_equal(read(tmp_path / "before/a.tif"), read(tmp_path / "after/a.tif"))
    with rasterio.open(tmp_path / "after/a-confidence.tif") as layer:
        assert layer.tags()["calibration"].startswith("temperature ")
        after = layer.read(1)
    before = read(tmp_path / "before/a-confidence.tif")[0]
    valid = before != NO_DATA
    assert abs(temperature - 1) > 0.01
    assert ((after > before) == (temperature < 1))[valid & (after != before)].all()
    assert (after != before).any()
    plain = settings.model_copy(update={"uncalibrated": True})
    predict(run, [raster], tmp_path / "plain", plain)
    name = "a-confidence.tif"
    assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
    with pytest.raises(DataError, match="temperature"):
        predict(run, [raster], tmp_path / "before", settings)
    predict(run, [raster], tmp_path / "before")  # the map alone does not depend on it
    predict(run, [raster], tmp_path / "maps")
    predict(run, [raster], tmp_path / "maps", settings)
    assert (tmp_path / "maps" / name).read_bytes() == (tmp_path / "after" / name).read_bytes()


def test_other_inference_than_that_of_the_fit_is_reported(run, raster, tmp_path):
    run = shutil.copytree(run, tmp_path / "run")
    calibrate(run)
    telling = Telling()
    flips = ["evaluation.inference.flips=[horizontal]"]
    settings = PredictSettings(confidence=True)
    predict(run, [raster], tmp_path / "out", settings, telling, overrides=flips)
    assert any("fitted with other inference settings: flips" in text for text in telling.warnings)
