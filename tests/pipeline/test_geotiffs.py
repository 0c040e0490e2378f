"""Scenes as GeoTIFFs of many bands: teachers and student see the chosen ones, as they would of a picture."""

import json
import math
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from pipeline.cache.verify import verify
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.predict import PredictSettings, predict
from pipeline.probe import probe
from pipeline.runs.report import report
from pipeline.train.features import find_features
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.teachers.teacher import load_teacher
from rsmtdf_core.training.targets import CachedTargets
from rsmtdf_core.views.render import ViewRenderer
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
        bands = np.stack([green, red // 2 + blue // 2, red, 2550 - green, blue])
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
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert evaluate(run)[0].images == 2
    (path,) = predict(run, [min((rasters / "images").iterdir())], tmp_path / "maps")
    with rasterio.open(path) as dataset:
        assert dataset.crs is not None


MORE = {"indices": [3, 1, 5, 2, 4], "scale": [0, 2550]}


def readers_of(experiment):
    """The readers of the cached tokens, by teacher."""
    targets = find_features(experiment, torch.device("cpu")).targets
    assert isinstance(targets, CachedTargets)
    return targets._readers


def set_bands(rasters: Path, bands: dict[str, object]) -> None:
    manifest = yaml.safe_load((rasters / "rasters.yaml").read_text())
    (rasters / "rasters.yaml").write_text(yaml.safe_dump(manifest | {"bands": bands}))


def test_a_multispectral_teacher_sees_the_bands_that_it_names(make_config, rasters, tmp_path):
    set_bands(rasters, MORE)
    order, mean, std = [5, 1, 2, 3], [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]
    torch.manual_seed(0)
    net = timm.create_model("test_vit2", in_chans=4, num_classes=0).eval()
    torch.save({"state_dict": net.state_dict()}, tmp_path / "multispectral.pth")
    net.set_input_size((64, 64))
    teacher = {
        "name": "eo",
        "family": "timm",
        "model": "test_vit2",
        "weights": str(tmp_path / "multispectral.pth"),
        "bands": order,
        "mean": mean,
        "std": std,
    }
    overrides = [
        f"data.manifest={rasters / 'rasters.yaml'}",
        f"data.root={rasters}",
        f"teachers=[{json.dumps(teacher)}]",
        "views.labeled_views=1",
        "views.unlabeled_views=1",
        "optimiser.max_steps=2",
    ]
    config = make_config(*overrides)
    extract(config)

    experiment = plan_experiment(config)
    readers = readers_of(experiment)
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    pixels = torch.from_numpy(renderer.taught_view(5).transpose(2, 0, 1)[[4, 0, 1, 2]].copy())
    shape = (1, -1, 1, 1)
    seen = (pixels[None] / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    with torch.inference_mode():
        (expected,) = net.forward_intermediates(seen, indices=1, norm=True, intermediates_only=True)
    found = torch.from_numpy(readers["eo"].tokens(5))
    torch.testing.assert_close(found, expected[0].permute(1, 2, 0), rtol=1e-2, atol=1e-2)

    (store,) = verify(config.runtime.cache_folder, config=config).stores
    assert {check.name for check in store.checks if check.status == "ok"} >= {
        *("probe", "features", "alignment", "replay")
    }
    losses = []
    for source in ("cached", "online"):
        run = train(make_config(*overrides, f"objective.teachers={source}", f"name={source}")).run
        losses.append([line["loss"] for line in open_run(run).read_metrics() if "loss" in line])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)

    with pytest.raises(ConfigError, match=r"teacher eo sees band 6, and the manifest .* 5 bands"):
        plan_experiment(make_config(*overrides, "teachers.eo.bands=[6, 1, 2, 3]"))


def test_olmoearth_teaches_from_bands_by_their_names(make_config, rasters):
    set_bands(rasters, MORE)
    teacher = {
        "name": "olmo",
        "family": "olmoearth",
        "model": "OlmoEarth-v1-Nano",
        "weights": "random",
        "bands": [5, 1, 2, 3],
        "band_names": ["B08", "B04", "B03", "B02"],
        "scale": [0, 2550],
    }
    config = make_config(
        f"data.manifest={rasters / 'rasters.yaml'}",
        f"data.root={rasters}",
        f"teachers=[{json.dumps(teacher)}]",
        "views.labeled_views=1",
        "views.unlabeled_views=1",
        "optimiser.max_steps=2",
    )
    extract(config)

    experiment = plan_experiment(config)
    readers = readers_of(experiment)
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    view = torch.from_numpy(renderer.taught_view(5).transpose(2, 0, 1).copy())[None]
    (expected,) = load_teacher(config.teachers[0], config.views.crop).tokens(view)
    found = torch.from_numpy(readers["olmo"].tokens(5))
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)

    run = train(config).run
    assert all(
        math.isfinite(line["loss"]) for line in open_run(run).read_metrics() if "loss" in line
    )
    (recorded,) = load_run(run).config.teachers
    assert recorded.model_dump(exclude={"mean", "std"}) == config.teachers[0].model_dump(
        exclude={"mean", "std"}
    )
    assert len(recorded.mean) == len(recorded.std) == 4
    assert {score.name for score in probe(config, views=8).features} >= {"olmo"}


def test_a_student_sees_more_bands_than_its_teachers(make_config, rasters, tmp_path):
    geo = [f"data.manifest={rasters / 'rasters.yaml'}", f"data.root={rasters}"]
    common = [*geo, "optimiser.max_steps=2", "runtime.cache_pixels=true"]
    tokens = []
    for name, bands in (("three", BANDS), ("five", MORE)):
        set_bands(rasters, bands)
        config = make_config(*common, f"name={name}", f"runtime.cache={tmp_path / name}")
        extract(config)
        readers = readers_of(plan_experiment(config))
        tokens.append([reader.tokens(row) for reader in readers.values() for row in (0, 7)])
    # The teachers' three bands are the same.
    assert all(np.array_equal(*pair) for pair in zip(*tokens, strict=True))

    runs = {
        "cached": train(config).run,
        "rendered": train(
            make_config(
                *common,
                "runtime.cache_pixels=false",
                f"runtime.cache={tmp_path / 'five'}",
                "name=rendered",
            )
        ).run,
        "online": train(
            make_config(
                *common, "runtime.cache_pixels=false", "objective.teachers=online", "name=online"
            )
        ).run,
    }
    weights = {
        name: load_file(max((run / "checkpoints").iterdir()) / "student.safetensors")
        for name, run in runs.items()
    }
    first = weights["cached"]["encoder.net.conv_stem.weight"]
    assert first.shape[1] == 5
    assert all(
        torch.equal(tensor, weights["rendered"][name]) for name, tensor in weights["cached"].items()
    )
    losses = {
        name: [line["loss"] for line in open_run(runs[name]).read_metrics() if "loss" in line]
        for name in ("cached", "online")
    }
    assert len(losses["cached"]) == 2
    assert losses["cached"] == pytest.approx(losses["online"], rel=1e-3)

    run = runs["cached"]
    assert evaluate(run)[0].images == 2
    assert load_run(run).student.bands == 5
    source = min((rasters / "images").iterdir())
    (path,) = predict(run, [source], tmp_path / "maps")
    with rasterio.open(path) as dataset:
        assert dataset.count == 1
    three = PredictSettings(bands=BandSettings.model_validate(BANDS))
    with pytest.raises(ConfigError, match="expects 5 bands, found 3"):
        predict(run, [source], tmp_path / "other", three)
    facts = json.loads(export_run(run, tmp_path / "exported", "pt2").facts.read_text())
    assert facts["input"]["bands"] == len(facts["input"]["mean"]) == 5
    assert "panels" in report([run], tmp_path / "report.html").path.read_text()


def test_the_student_learns_from_a_band_that_teachers_do_not_see(make_config, rasters, tmp_path):
    """Training changes the weights of the extra band, and a change of that band changes the logits."""
    set_bands(rasters, MORE)
    geo = [f"data.manifest={rasters / 'rasters.yaml'}", f"data.root={rasters}"]
    run = train(make_config(*geo, "objective.method=supervised", "optimiser.max_steps=3")).run
    student = load_run(run).student
    images = torch.full((1, 5, 64, 64), 99, dtype=torch.uint8)
    changed = images.clone()
    changed[:, 4] = 200
    with torch.inference_mode():
        before, after = (student.logits(student.normalise(pixels)) for pixels in (images, changed))
    assert not torch.allclose(before, after)
