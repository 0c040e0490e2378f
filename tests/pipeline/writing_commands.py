"""Every command that writes files, on small material in a folder, for tests of disks that refuse."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import pipeline.data.init
from cli.options import copy_file
from pipeline.cache.transcode import transcode
from pipeline.cache.transfer.exporting import export_stores
from pipeline.cache.transfer.importing import import_stores
from pipeline.config import load_config
from pipeline.data.check import check_data
from pipeline.data.init import draft, require_free, write_manifest
from pipeline.data.prepare import PrepareSettings, prepare
from pipeline.data.prepare.download import download
from pipeline.demo.scenes import draw_scenes
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.exchange.import_official import import_official
from pipeline.extract.run import extract
from pipeline.packaged import find_config
from pipeline.predict import PredictSettings, predict
from pipeline.reporter import Silent
from pipeline.runs.compare import compare
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.official import CROP
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.tokens import TokenShape
from tests.pipeline.conftest import CONFIG
from tests.pipeline.exchange.test_import_official import officially
from tests.rasters import ramp, write_tiff

DOWNLOAD: dict[str, dict[str, str]] = {}


def make_material(scenes: Path, folder: Path) -> None:
    """Write the inputs of the commands: a scored run, a cache and its export, images and a benchmark."""
    shutil.copytree(scenes, folder / "scenes")
    extract(_config(folder, "cache"))
    export_stores(_stores(folder), str(folder / "shelf"))
    run = train(_config(folder, "cache"), folder / "run").run
    evaluate(run, "test", root=folder / "scenes")
    write_tiff(folder / "a.tif", ramp(3, 90, 90, np.uint8) // 2 + 20)
    pixels = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8)
    Image.fromarray(pixels[:90, :70]).save(folder / "b.png")
    for kind, values in (("images", pixels), ("masks", np.ones((1024, 1024), np.uint8))):
        for name, part in enumerate(("Train", "Val")):
            images = folder / "loveda" / part / "Rural" / f"{kind}_png"
            images.mkdir(parents=True)
            Image.fromarray(values).save(images / f"{name}.png")


def _config(folder: Path, cache: str, *overrides: str):
    text = CONFIG.replace("SCENES", str(folder / "scenes")).replace("CACHE", str(folder / cache))
    path = folder.with_name("tiny.yaml")  # no output of the command
    path.write_text(text.replace("RUNS", str(folder / "runs")))
    short = ("objective.method=supervised", "optimiser.max_steps=1")
    return load_config(str(path), [*short, *overrides])


def _stores(folder: Path):
    return [entry.store for entry in read_catalogue(folder / "cache").stores]


def _train(folder: Path) -> None:
    run = folder / "new"
    config = _config(folder, "cache", "optimiser.epochs=4", "optimiser.max_steps=7")
    train(config, run, resume=(run / "run.json").is_file(), profile=True)


def _init(folder: Path) -> None:
    path = folder / "manifest.yaml"
    if not path.is_file():  # a folder that cannot be synced has its file
        require_free(path, overwrite=False)
        looked = pipeline.data.init.look(folder / "scenes", Silent())
        write_manifest(draft(looked, path), path)


def _copy(folder: Path) -> None:
    path = folder / "out" / "mine.yaml"
    if not path.is_file():
        copy_file(find_config("folder"), path)


def _predict(folder: Path) -> None:
    settings = PredictSettings(probabilities=True, confidence=True, cog=True)
    predict(folder / "run", [folder / "a.tif", folder / "b.png"], folder / "out", settings)


def _prepare(folder: Path) -> None:
    values = {"source": (folder / "loveda",), "to": folder / "out", "partial": True}
    prepare(PrepareSettings(benchmark="loveda", crops=True, **values))


def _official(folder: Path) -> Path:
    """A checkpoint of the official code, outside of the folder because it is large."""
    path = folder.parent.parent / "official.pth"
    if not path.is_file():
        settings = StudentSettings(
            encoder="vit_small_patch14_dinov2", weights="random", head="small"
        )
        teachers = (TokenShape("dino", 37, 37, 768), TokenShape("clip", 16, 16, 1024, 224))
        classes = len(load_manifest("synthetic").classes)
        state = Student(settings, classes, CROP, teachers).state_dict()
        torch.save({"model": {officially(name): state[name] for name in state}}, path)
    return path


def _import_official(folder: Path) -> None:
    import_official(_official(folder), "synthetic", run=folder / "new", overwrite=False)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "config copy": _copy,
    "data init": _init,
    "data check": lambda folder: check_data(
        load_manifest("synthetic"), folder / "scenes", folder / "out"
    ),
    "data prepare": _prepare,
    "demo": lambda folder: draw_scenes(folder / "out", 1, 64, 0),
    "extract-features": lambda folder: extract(_config(folder, "new", "runtime.cache_pixels=true")),
    "train": _train,
    "evaluate": lambda folder: evaluate(folder / "run", "val", root=folder / "scenes"),
    "compare": lambda folder: compare([folder / "run"], folder / "out"),
    "report": lambda folder: report(
        [folder / "run"], folder / "report.html", root=folder / "scenes"
    ),
    "predict": _predict,
    "export safetensors": lambda folder: export_run(folder / "run", folder / "out", "safetensors"),
    "export pt2": lambda folder: export_run(folder / "run", folder / "out", "pt2"),
    "export onnx": lambda folder: export_run(folder / "run", folder / "out", "onnx"),
    "cache export": lambda folder: export_stores(_stores(folder), str(folder / "out")),
    "cache import": lambda folder: import_stores(str(folder / "shelf"), folder / "new"),
    "cache transcode": lambda folder: transcode(_stores(folder)[0], declare_codec("int8")),
    "data download": lambda folder: download(DOWNLOAD["urls"], DOWNLOAD["md5"], folder / "out"),
    "import-official": _import_official,
}


# The first step of each command that takes long; the others write at once.
WORK = {
    "data init": "pipeline.data.init.look",
    "data check": "pipeline.data.check.check_dataset",
    "data prepare": "pipeline.data.prepare.run.find_source",
    "extract-features": "pipeline.extract.run.plan_experiment",
    "train": "pipeline.train.setup.find_features",
    "evaluate": "rsmtdf_core.evaluation.crops.count_confusion",
    "compare": "pipeline.runs.compare.run.compare_groups",
    "report": "pipeline.runs.report.run.gather",
    "predict": "pipeline.predict.run._checked_size",
    "export safetensors": "pipeline.exchange.export.load_run",
    "export pt2": "pipeline.exchange.export.load_run",
    "export onnx": "pipeline.exchange.export.load_run",
    "cache export": "pipeline.cache.transfer.exporting._snapshot",
    "cache import": "pipeline.cache.transfer.importing._stage",
    "cache transcode": "pipeline.cache.transcode.create_store",
    "data download": "urllib.request.urlopen",
    "import-official": "pipeline.exchange.import_official.open_weights",
}
AT_ONCE = {"config copy", "demo"}
