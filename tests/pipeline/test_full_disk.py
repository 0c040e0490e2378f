"""Files that the system refuses to write: an error that names the file, nothing incomplete, and the same command again.

A limit on file sizes simulates a full disk: the kernel refuses the write in the middle of a file.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipeline.config import load_config
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.predict import PredictSettings, predict
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf_core.errors import WriteError
from rsmtdf_core.maps.geotiff import is_readable
from tests.caches import tree
from tests.pipeline.conftest import CONFIG
from tests.rasters import CRS, TRANSFORM, ramp, write_tiff
from tests.refusals import largest_file


@pytest.fixture(scope="module")
def trained(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full-disk")
    run = train(_config(scenes, folder)).run
    evaluate(run, "test")
    return run


@pytest.fixture(autouse=True)
def _raster(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", ramp(3, 300, 300, np.uint8) // 2 + 20)


def _config(scenes: Path, folder: Path):
    text = CONFIG.replace("SCENES", str(scenes)).replace("CACHE", str(folder / "cache"))
    path = folder / "tiny.yaml"
    path.write_text(text.replace("RUNS", str(folder / "runs")))
    return load_config(str(path), ["objective.method=supervised", "optimiser.max_steps=1"])


def _predict(run: Path, out: Path) -> None:
    settings = PredictSettings(probabilities=True, confidence=True, polygons=True, cog=True)
    predict(run, [out.parent / "a.tif"], out, settings)


VERBS: dict[str, Callable[[Path, Path], object]] = {
    "evaluate": lambda run, _: evaluate(run, "val"),
    "predict": _predict,
    "report": lambda run, out: report([run], out / "report.html"),
    "safetensors": lambda run, out: export_run(run, out, "safetensors"),
    "pt2": lambda run, out: export_run(run, out, "pt2"),
}


@pytest.mark.parametrize("size", [1000, 20_000])
@pytest.mark.parametrize("verb", VERBS)
def test_a_refused_file_is_named_and_the_same_command_goes_on(verb, size, trained, tmp_path):
    run, out = tmp_path / trained.name, tmp_path / "out"
    shutil.copytree(trained, run)
    before = tree(tmp_path)
    with largest_file(size), pytest.raises(WriteError, match="cannot be written") as caught:
        VERBS[verb](run, out)
    assert caught.value.where.startswith(str(tmp_path))
    assert "same command again" in caught.value.remedy
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in left if ".tmp" in path.name]
    assert not (run / "evaluation" / "val-ema" / "report.json").exists()
    kept = {path: path.read_bytes() for path in left if path.relative_to(tmp_path) not in before}
    VERBS[verb](run, out)
    # The files of the refused command were complete, so the second command did not replace them.
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_raster_that_fits_until_its_end_is_not_kept(trained, tmp_path):
    out = tmp_path / "out"
    _predict(trained, out)
    sizes = {path.name: path.stat().st_size for path in out.glob("*.tif")}
    shutil.rmtree(out)
    for short in (1, 400):
        with largest_file(max(sizes.values()) - short), pytest.raises(WriteError):
            _predict(trained, out)
        assert all(is_readable(path) for path in out.glob("*.tif"))


def test_a_run_that_could_not_begin_is_started_by_the_same_command(scenes, tmp_path):
    config = _config(scenes, tmp_path)
    with largest_file(500), pytest.raises(WriteError):
        train(config)
    assert train(config).run.is_dir()


def test_a_checkpoint_that_does_not_fit_leaves_no_file(scenes, tmp_path):
    config = _config(scenes, tmp_path)
    with largest_file(100_000), pytest.raises(WriteError, match="cannot be written") as caught:
        train(config)
    run = tmp_path / "runs" / "tiny-supervised-seed0"
    assert str(run) in caught.value.where
    assert caught.value.remedy.endswith(f"--run {run} --resume")
    assert not list(run.glob("*/step-*"))
    train(config, resume=True)


def test_a_run_from_given_weights_without_a_checkpoint_starts_again(scenes, trained, tmp_path):
    """Without a checkpoint to resume from, the run starts again from the given weights."""
    config = _config(scenes, tmp_path)
    with largest_file(100_000), pytest.raises(WriteError) as caught:
        train(config, init_from=trained)
    assert f"--init-from {trained}" in caught.value.remedy
    assert "--overwrite" in caught.value.remedy
    train(config, init_from=trained, overwrite=True)


def test_missing_tiles_are_damage(tmp_path):
    """GDAL reads a tile that is not there as nodata, without an error."""
    path = tmp_path / "a.tif"
    options = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 255, "sparse_ok": True}
    options |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "width": 512, "height": 512}
    with rasterio.open(path, "w", crs=CRS, transform=TRANSFORM, **options) as file:
        file.write(ramp(1, 256, 512).astype("uint8"), window=((0, 256), (0, 512)))
    assert not is_readable(path)
    with rasterio.open(path, "r+") as file:
        file.write(ramp(1, 256, 512).astype("uint8"), window=((256, 512), (0, 512)))
    assert is_readable(path)
