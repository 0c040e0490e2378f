"""The predict stage: runs the student over every input in blended windows, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from pipeline.memory import memory_errors
from pipeline.predict.batches import Failures
from pipeline.predict.inputs import PLACED, Job, OutputKind, find_jobs, left_out
from pipeline.predict.layers import BY_BLOCKS, derive, is_whole, layer_block, open_layer
from pipeline.predict.members import Members, facts_of, load_members
from pipeline.predict.predictor import Predictor, find_calibration, predict_blocks
from pipeline.predict.settings import PredictSettings
from pipeline.predict.sources import open_source
from pipeline.predict.stac import write_item
from pipeline.reporter import Bar, Reporter, Silent
from pipeline.trained import TrainedRun
from rsmtdf_core.errors import ConfigError, DataError, RunError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import window_starts
from rsmtdf_core.files import (
    make_folder,
    read_json,
    remove_leftovers,
    require_writable,
    write_json,
)
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.maps.polygons import EXACT, require_place
from rsmtdf_core.roles import Role, deciding
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.scenes.bands import SHOWN, BandSettings
from rsmtdf_core.scenes.images.folder import unread_note
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.words import counted

FACTS = "predictions.json"
FORMAT = FileFormat("record of how maps are made")


def predict(
    run: Path,
    inputs: Sequence[Path],
    out: Path,
    settings: PredictSettings | None = None,
    reporter: Reporter | None = None,
    *,
    overrides: Sequence[str] = (),
    checkpoint: Choice | None = None,
    ensemble: Sequence[Path] = (),
) -> list[Path]:
    """Predict images, GeoTIFFs and folders of them.

    A GeoTIFF becomes `<name>.tif`, a palette raster with the same georeference, with a style for QGIS, `<name>.qml`.
    Another image becomes `<name>.png`, a palette picture. Both have a small picture of image and map,
    `<name>-panel.png`. Files are written atomically. Files that the
    same run wrote before with the same settings are kept, so an interrupted prediction can be resumed.

    Args:
        run: the run's folder.
        inputs: files, and folders to search.
        out: the output folder; its `predictions.json` records the run and the settings.
        settings: selects the outputs.
        reporter: shows progress.
        overrides: `key=value` for keys of `evaluation.inference` and for `runtime.device`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None uses the best.
        ensemble: further runs, of which the best model is used; the probabilities of all runs are averaged.

    Returns:
        The maps of class ids, in the order of the inputs.

    Raises:
        MissingFileError, DataError: If an input is missing, damaged or lacks bands that the run reads,
            if names clash, or if `out` cannot be written or has files of other runs.
        IncompleteError: If some of several inputs fail; the files of the others are complete.
        WriteError: If a file cannot be written, for example because the disk is full.
        ConfigError: If an override is invalid, or the runs of an ensemble differ in their classes or bands.
        RunError: If there is no run, or the device has too little memory.
    """
    settings, reporter = settings or PredictSettings(), reporter or Silent()
    _require_packages(settings)
    members = load_members(run, ensemble, overrides, checkpoint)
    trained = members.runs[0]
    _require_ensemble(settings, members)
    jobs = find_jobs(inputs, out, settings)
    calibration = find_calibration(members, settings, reporter)
    predictor = Predictor(members, calibration, _bands(trained, settings), settings)
    make_folder(out, DataError, "name another folder with --out")
    require_writable(out / FACTS, *(path for job in jobs for path in job.files.values()))
    _warn_of_pictures(jobs, settings, reporter)
    if unread := left_out(inputs, out):
        reporter.warn(unread_note(unread))
    failures = Failures(reporter, "image", len(jobs))
    sizes = {}
    for job in jobs:
        with failures.of(job.source):
            sizes[job.source] = _checked_size(job, predictor.bands, reporter)
    failures.raise_if_all()
    _claim(out, jobs, _facts(predictor), overwrite=settings.overwrite)
    for folder in {path.parent for job in jobs for path in job.files.values()}:
        remove_leftovers(folder)
    cautions = dict.fromkeys(sentence for run in members.runs for sentence in run.cautions)
    for sentence in (*cautions, *_seams(predictor.inference)):
        reporter.warn(sentence)
    _write_all([job for job in jobs if job.source in sizes], sizes, predictor, reporter, failures)
    maps = [job.files["map"] for job in jobs if not failures.has(job.source)]
    failures.raise_if_any(maps)
    return maps


def _write_all(
    jobs: Sequence[Job],
    sizes: Mapping[Path, tuple[int, int]],
    predictor: Predictor,
    reporter: Reporter,
    failures: Failures,
) -> None:
    """Write the missing files of all inputs."""
    missing = {job.source: _missing(job, predictor.settings, reporter) for job in jobs}
    if kept := sum(not kinds for kinds in missing.values()):
        reporter.say(
            f"{kept} of {len(jobs)} inputs have all files already; --overwrite recomputes them"
        )
    windows = sum(
        _count_windows(sizes[source], predictor.inference)
        for source, kinds in missing.items()
        if _by_blocks(kinds)
    )
    if not any(missing.values()):
        return
    with (
        memory_errors(partial(_too_little, predictor.inference)),
        reporter.bar("predict, windows", windows) as bar,
    ):
        for job in jobs:
            with failures.of(job.source):
                _write(job, missing[job.source], predictor, bar)


def _warn_of_pictures(jobs: Sequence[Job], settings: PredictSettings, reporter: Reporter) -> None:
    """Warn of inputs without a georeference if outputs with coordinates are requested.

    Raises:
        DataError: If none of the inputs can have a georeference.
    """
    pictures = [job.source for job in jobs if not job.is_raster]
    if not settings.places or not pictures:
        return
    if len(pictures) == len(jobs):
        require_place(pictures[0], Frame(0, 0))
    reporter.warn(
        f"no polygons and items are written for {counted(len(pictures), 'picture')} without a georeference, "
        f"such as {pictures[0]}"
    )


def _require_packages(settings: PredictSettings) -> None:
    """Check that the packages of the requested outputs are installed.

    Raises:
        ConfigError: If one is missing.
    """
    needed = ["pyogrio", "shapely"] if settings.geopackage else []
    needed += ["shapely"] if settings.generalization != EXACT else []
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ConfigError(
            f"the package {missing[0]} is not installed",
            where="--geopackage" if settings.geopackage else "--min-area, --simplify",
            remedy="pip install 'rsmtdf[geo]'",
        )


def _bands(trained: TrainedRun, settings: PredictSettings) -> BandSettings | None:
    """Choose the bands to read, as many as the student expects.

    Raises:
        ConfigError: If the number of bands differs.
    """
    bands = settings.bands or trained.manifest.bands
    count = SHOWN if bands is None else len(bands.indices)
    if count != trained.student.bands:
        raise ConfigError(
            f"the run's student expects {trained.student.bands} bands, found {count}",
            where="--bands",
            remedy=f"name {trained.student.bands} bands in the order of the manifest's bands.indices",
        )
    return bands


def _require_ensemble(settings: PredictSettings, members: Members) -> None:
    """Check that there are several runs if their disagreement is requested, and one for STAC items.

    Raises:
        ConfigError: If there are not.
    """
    if settings.stac and len(members.runs) > 1:
        raise ConfigError(
            "a STAC item describes a single model, and an ensemble has several",
            where="--stac",
            remedy="leave out --stac, or predict without --ensemble",
        )
    if settings.disagreement and len(members.runs) == 1:
        raise ConfigError(
            "a single run cannot disagree",
            where="--disagreement",
            remedy="add runs with --ensemble RUN",
        )


def _seams(inference: InferenceSettings) -> Iterator[str]:
    if inference.overlap == 0:
        yield (
            "the run's windows do not overlap, so maps may show seams; "
            "use --set evaluation.inference.overlap=0.33 to blend the windows"
        )


def _count_windows(size: tuple[int, int], settings: InferenceSettings) -> int:
    return prod(len(window_starts(side, settings.window, settings.overlap)) for side in size)


def _too_little(inference: InferenceSettings, detail: str) -> RunError:
    return RunError(
        f"the device has too little memory to predict {inference.batch} windows of {inference.window} px "
        f"at a time ({detail})",
        where="evaluation.inference.batch",
        remedy=f"run the command again with --set evaluation.inference.batch={inference.batch // 2}"
        if inference.batch > 1
        else "predict on a device with more memory, or on a CPU",
    )


def _checked_size(job: Job, bands: BandSettings | None, reporter: Reporter) -> tuple[int, int]:
    """Check the header of an input, and return its height and width in px."""
    with open_raster(job.source, bands) as raster:
        if job.files.keys() & PLACED:
            require_place(job.source, raster.frame)
        georeferenced = (
            raster.frame.crs is not None or raster.frame.gcps or raster.frame.rpcs is not None
        )
        if job.is_raster and not georeferenced:
            reporter.warn(
                f"{job.source} has no coordinate reference system, so its map has none either"
            )
        if raster.image.turned:
            reporter.warn(
                f"{job.source} is rotated according to its EXIF orientation, and so is its map"
            )
        return raster.frame.height, raster.frame.width


def _facts(predictor: Predictor) -> dict[str, Any]:
    """Return the facts that decide the content of the files."""
    first, *others = (facts_of(run) for run in predictor.members.runs)
    facts: dict[str, Any] = {
        "format": FORMAT.number,
        **first,
        "inference": deciding(predictor.inference, Role.SCORING),
        "bands": None if predictor.bands is None else predictor.bands.model_dump(mode="json"),
        "cog": predictor.settings.cog,
        **_detail(predictor.settings),
    }
    if others:
        facts["ensemble"] = others
    if predictor.settings.soft:
        facts["temperature"] = predictor.temperature
    return facts


def _detail(settings: PredictSettings) -> dict[str, Any]:
    """Return how polygons are generalized; nothing for exact ones, as in folders of earlier versions."""
    detail = settings.generalization
    return {} if detail == EXACT else {"polygons": asdict(detail)}


def _read_record(path: Path) -> dict[str, Any]:
    return FORMAT.current(read_json(path, DataError), path, DataError)


def _claim(out: Path, jobs: Sequence[Job], facts: dict[str, Any], *, overwrite: bool) -> None:
    """Record the facts in `out`, and refuse a folder whose maps were made with other facts.

    Raises:
        DataError: If the folder has files that were made with other facts, or without a record of them.
    """
    record = out / FACTS
    if not overwrite:
        existing = [path for job in jobs for path in job.files.values() if path.exists()]
        has_record = record.is_file()
        changes: list[str] = []
        if has_record:
            known = _read_record(record)
            # Maps do not depend on the temperature, nor do folders of earlier versions record one.
            fitted = known.pop("temperature", 1.0)
            facts = {"temperature": fitted, **facts}
            if not _has_soft_files(out):
                fitted = facts["temperature"]
            changes = list(differences({**known, "temperature": fitted}, facts))
        if changes or (existing and not has_record):
            raise DataError(
                "the folder has maps of another run or of other settings: " + "; ".join(changes)
                if changes
                else f"{len(existing)} output files exist already, the first is {existing[0]}",
                where=out,
                remedy="name another folder with --out, or replace the files with --overwrite",
            )
    if facts.get("temperature") == 1.0:
        del facts["temperature"]  # as in folders of earlier versions
    write_json(record, facts)


def _has_soft_files(out: Path) -> bool:
    """Whether the folder has probabilities or confidences."""
    return any(
        path for kind in ("probabilities", "confidence") for path in out.rglob(f"*-{kind}.tif")
    )


def _missing(job: Job, settings: PredictSettings, reporter: Reporter) -> list[OutputKind]:
    """List the files of an input to write: missing and damaged files, or all with `overwrite`."""
    if settings.overwrite:
        return list(job.files)
    missing = []
    for kind, path in job.files.items():
        if not path.exists():
            missing.append(kind)
        elif not is_whole(path):
            reporter.warn(f"{path} is damaged and will be written again")
            missing.append(kind)
    return missing


def _by_blocks(kinds: Sequence[OutputKind]) -> list[OutputKind]:
    return [kind for kind in kinds if kind in BY_BLOCKS]


def _write(job: Job, kinds: Sequence[OutputKind], predictor: Predictor, bar: Bar) -> None:
    """Write the missing files of an input: first those written by blocks, then those derived from the map."""
    manifest, by_blocks = predictor.trained.manifest, _by_blocks(kinds)
    if by_blocks:
        with ExitStack() as stack:
            source, frame = stack.enter_context(open_source(job.source, predictor.bands))
            writers = {
                kind: stack.enter_context(
                    open_layer(
                        job,
                        kind,
                        frame,
                        manifest,
                        cog=predictor.settings.cog,
                        tags=predictor.tags(kind),
                    )
                )
                for kind in by_blocks
            }
            for top, left, logits in predict_blocks(predictor, source):
                block = predictor.members.block(logits)
                valid = source.valid(top, left, *logits.shape[1:])
                for kind, writer in writers.items():
                    values = layer_block(
                        kind, block, valid, manifest.ignore_id, predictor.temperature
                    )
                    writer.write(top, left, values)
                bar.advance(note=job.source.name)
    for kind in kinds:
        if kind == "stac":
            write_item(job, predictor.trained, predictor.inference)
        elif kind not in BY_BLOCKS:
            derive(job, kind, manifest, predictor.bands, predictor.settings.generalization)
