"""The stages from scenes to maps, such as train, evaluate and predict; named as on the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rsmtdf.configs import load_config, override_words
from rsmtdf.isolation import isolated
from rsmtdf.paths import optional_path, paths
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.calibration import Calibration
    from pipeline.extract.run import ExtractReport
    from pipeline.probe import ProbeReport
    from pipeline.train.journal import TrainReport
    from rsmtdf.configs import ConfigSource, Overrides
    from rsmtdf.paths import PathLike
    from rsmtdf_core.evaluation.report import EvaluationReport

    Weights = Literal["ema", "student"]


@isolated
def probe(
    source: ConfigSource,
    *,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    views: int = 64,
    scenes: int | None = None,
    split: Literal["train", "val", "test"] | None = None,
    checkpoint: PathLike | int | None = None,
    progress: bool = False,
) -> ProbeReport:
    """Score teachers and students by linear heads on a few labeled views; no store and no run is written.

    A head on the tokens of each teacher, of each pair of teachers, and on the student's initial features shows which
    teacher is worth caching. For a run, its trained student is scored too and compared with the teachers' tokens.

    Args:
        source: a config, as for `load_config`; or the folder of a run.
        overrides: overrides of the config's keys; for a run only of `evaluation.inference` and `runtime.device`.
        cache: folder of the stores; overrides `runtime.cache`. Tokens that it contains are read, others are computed.
        views: maximum number of views, at least 2.
        scenes: maximum number of scenes, at least 2.
        split: split of the views, by default "train" (its labeled scenes) for a config, and "val" for a run.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint of the run; by default its
            best.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If the source, the scenes or a teacher cannot be used.
    """
    from pipeline.probe import open_source
    from pipeline.probe import probe as score_features

    config, run = open_source(source, override_words(overrides), optional_path(cache), checkpoint)
    return score_features(
        config,
        run,
        split=split,
        views=views,
        scenes=scenes,
        reporter=reporter(progress=progress),
    )


@isolated
def extract_features(
    config: ConfigSource,
    *,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> ExtractReport:
    """Run the teachers once over every view and keep their tokens in the cache.

    Existing features are reused and missing ones computed, so a call continues an interrupted one. With several workers
    (`runtime.extract_workers`), a script must call this under `if __name__ == "__main__":`, as for all worker processes
    in Python.

    Args:
        config: a path, a packaged name, a mapping or a config, as for `load_config`.
        overrides: overrides of the config's keys.
        cache: folder of the stores; overrides `runtime.cache`.
        scheduler: address of a dask scheduler; by default a cluster is started on this machine.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the config, the scenes, a teacher or the cache cannot be used.
    """
    from pipeline.extract.run import extract

    words = override_words(overrides, runtime__cache=cache)
    return extract(load_config(config, words), scheduler, reporter(progress=progress))


@isolated
def train(
    config: ConfigSource,
    run: PathLike | None = None,
    *,
    overrides: Overrides = None,
    cache: PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    init_from: PathLike | None = None,
    max_steps: int | None = None,
    profile: bool = False,
    progress: bool = False,
) -> TrainReport:
    """Train the student from the cached features; no teacher is loaded.

    Ctrl-C stops after the current step and saves a checkpoint; a second Ctrl-C interrupts immediately. On a CPU, the
    process keeps memory that training has freed for the next call.

    Args:
        config: a path, a packaged name, a mapping or a config, as for `load_config`.
        run: the run's folder, by default `<runtime.runs>/<name>-<method>-seed<seed>`.
        overrides: overrides of the config's keys.
        cache: folder of the stores; overrides `runtime.cache`.
        resume: continue the run from its newest checkpoint.
        overwrite: delete an existing run.
        init_from: a run, checkpoint or weights file that a new run starts from.
        max_steps: maximum number of training steps; sets `optimiser.max_steps`.
        profile: trace a few steps into the run's folder.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the config, the scenes, the cache or the run cannot be used, or the loss diverges.
        Interrupted: On Ctrl-C or SIGTERM, after a checkpoint is saved; also an `RsmtdfError`.
    """
    from pipeline.train.run import train as run_training
    from rsmtdf_core.errors import ConfigError

    if resume and (overwrite or init_from is not None):
        raise ConfigError("resume excludes overwrite and init_from", remedy="choose one of them")
    words = override_words(overrides, runtime__cache=cache, optimiser__max_steps=max_steps)
    return run_training(
        load_config(config, words),
        optional_path(run),
        resume=resume,
        overwrite=overwrite,
        init_from=optional_path(init_from),
        profile=profile,
        reporter=reporter(progress=progress),
    )


@isolated
def evaluate(
    run: PathLike,
    *,
    split: Literal["train", "val", "test"] = "test",
    weights: Weights | None = None,
    root: PathLike | None = None,
    protocol: str | Sequence[str] = "rsmtdf",
    overrides: Overrides = None,
    checkpoint: PathLike | int | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Score a run's best model; tables and pictures are also written to `RUN/evaluation/SPLIT-WEIGHTS`.

    Args:
        run: the run's folder.
        split: the split to score.
        weights: the EMA model or the student, by default the model that selected the best checkpoint.
        root: the data root, if it has moved since training.
        protocol: a protocol, or several; the report shows the scores of the first.
        overrides: overrides of `evaluation.inference` keys and `runtime.device`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; by default the best.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the run or the scenes cannot be used.
    """
    from pipeline.evaluate.run import evaluate as score

    report, _ = score(
        Path(run),
        split,
        weights,
        optional_path(root),
        reporter(progress=progress),
        protocols=[protocol] if isinstance(protocol, str) else protocol,
        overrides=override_words(overrides),
        checkpoint=checkpoint,
    )
    return report


@isolated
def predict(
    run: PathLike,
    inputs: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    probabilities: bool = False,
    confidence: bool = False,
    disagreement: bool = False,
    uncalibrated: bool = False,
    polygons: bool = False,
    geopackage: bool = False,
    min_area: float = 0.0,
    simplify: float = 0.0,
    stac: bool = False,
    cog: bool = False,
    ensemble: PathLike | Sequence[PathLike] = (),
    images: Sequence[str] = (),
    assets: Sequence[str] = (),
    bands: Sequence[int] | None = None,
    scale: tuple[float, float] | None = None,
    workers: int = 1,
    overwrite: bool = False,
    overrides: Overrides = None,
    checkpoint: PathLike | int | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write the class maps of images, GeoTIFFs and folders of them, of any size.

    Args:
        run: the run's folder.
        inputs: a file, a folder, the address of a raster or a STAC document, or several.
        out: folder for the maps.
        probabilities: also write a raster with a band for each class.
        confidence: also write a raster with the largest probability.
        disagreement: also write a raster of how much the runs of an ensemble disagree.
        uncalibrated: do not apply the temperature of `calibrate` to probabilities and confidences.
        polygons: also write GeoJSON of the areas of each class; only for GeoTIFFs.
        geopackage: also write these areas as a GeoPackage with area and mean confidence, and the confidence.
        min_area: smallest area of a polygon, m2; smaller ones take the class of their largest neighbor.
        simplify: size of the corners to remove from polygons, m.
        stac: also write a STAC item of each map; only for GeoTIFFs.
        cog: write Cloud Optimized GeoTIFFs.
        ensemble: further runs of the same classes and bands; the probabilities of all runs are averaged.
        images: in folders, path patterns of the files of a scene that are stacked to its bands; by default those of the
            manifest, if it has several.
        assets: the assets of STAC items to predict, by key or "role=" and a role; several are stacked. By default those
            of the manifest, or `visual`.
        bands: numbers, from 1, of the bands to read, by default those of the manifest.
        scale: values to map to black and white, by default the manifest's.
        workers: number of processes that predict different images.
        overwrite: replace existing maps.
        overrides: overrides of `evaluation.inference` keys and `runtime.device`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; by default the best.
        progress: whether a bar is shown.

    Returns:
        The maps of class ids, in the order of the inputs.

    Raises:
        RsmtdfError: If the run, an input or `out` cannot be used. If other inputs were predicted, an
            `IncompleteError` lists their maps in `written`.
    """
    from pipeline.predict import PredictSettings
    from pipeline.predict import predict as predict_inputs
    from rsmtdf_core.scenes.images.source import parse_file
    from rsmtdf_core.validation import validate

    named = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    band_values = {"indices": bands, "scale": scale}
    given = {key: list(value) for key, value in band_values.items() if value is not None}
    values = {
        "probabilities": probabilities,
        "confidence": confidence,
        "disagreement": disagreement,
        "uncalibrated": uncalibrated,
        "polygons": polygons,
        "geopackage": geopackage,
        "min_area": min_area,
        "simplify": simplify,
        "stac": stac,
        "cog": cog,
        "overwrite": overwrite,
        "bands": given or None,
        "images": tuple(images),
        "assets": tuple(assets),
    }
    return predict_inputs(
        Path(run),
        [parse_file(os.fspath(value)) for value in named],
        Path(out),
        validate(PredictSettings, values, "rsmtdf.predict"),
        reporter(progress=progress),
        overrides=override_words(overrides),
        checkpoint=checkpoint,
        ensemble=paths(ensemble),
        workers=workers,
    )


@isolated
def calibrate(
    run: PathLike,
    *,
    weights: Weights | None = None,
    root: PathLike | None = None,
    checkpoint: PathLike | int | None = None,
    progress: bool = False,
) -> Calibration:
    """Fit a temperature to a run's best model on the validation scenes, which calibrates its confidences.

    Args:
        run: the run's folder.
        weights: the EMA model or the student, by default the model that selected the best checkpoint.
        root: the data root, if it has moved since training.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; by default the best.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the run or the scenes cannot be used.
    """
    from pipeline.calibrate.run import calibrate as fit

    return fit(
        Path(run), weights, optional_path(root), reporter(progress=progress), checkpoint=checkpoint
    )
