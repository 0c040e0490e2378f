"""The stage: every input through the student in windows that are blended, block after block."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.memory import memory_errors
from pipeline.predict.batches import Failures
from pipeline.predict.inputs import Job, OutputKind, find_jobs, left_out
from pipeline.predict.layers import BY_BLOCKS, derive, is_whole, layer_block, open_layer
from pipeline.predict.settings import PredictSettings
from pipeline.predict.sources import Source, open_source
from pipeline.reporter import Bar, Reporter, Silent
from pipeline.trained import TrainedRun, load_run
from rsmtdf_core.errors import ConfigError, DataError, RunError
from rsmtdf_core.evaluation.averaging import averaged_logits
from rsmtdf_core.evaluation.inference import require_fitting_window
from rsmtdf_core.evaluation.scoring import require_finite_output
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import blended_blocks, window_starts
from rsmtdf_core.files import make_folder, read_json, remove_leftovers, write_json
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.maps.polygons import require_place
from rsmtdf_core.refusals import require_no_folder
from rsmtdf_core.roles import Role, deciding
from rsmtdf_core.scenes.bands import SHOWN, BandSettings
from rsmtdf_core.scenes.images.folder import unread_note
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.words import counted

FACTS = "predictions.json"
FORMAT = FileFormat("record of how maps are made")


@dataclass(frozen=True, slots=True)
class _Way:
    """How all inputs are predicted."""

    trained: TrainedRun
    inference: InferenceSettings
    bands: BandSettings | None
    settings: PredictSettings


def predict(
    run: Path,
    inputs: Sequence[Path],
    out: Path,
    settings: PredictSettings | None = None,
    reporter: Reporter | None = None,
    *,
    overrides: Sequence[str] = (),
    checkpoint: Path | None = None,
) -> list[Path]:
    """Predict images, GeoTIFFs and folders of them; the maps of class ids, in the order of the inputs.

    A GeoTIFF becomes `<name>.tif`, a palette raster at the same place on the earth; another image
    `<name>.png`, a palette picture, and `<name>-panel.png`. Files appear whole. Those that the same
    run wrote before, in the same way, are kept, so that what was killed goes on.

    Args:
        run: the run's folder; its best model is used.
        inputs: files, and folders that are looked through.
        out: the folder that is written to; `predictions.json` in it says how.
        settings: what is written.
        reporter: shows progress.
        overrides: `key=value` for keys of `evaluation.inference`, and for `runtime.device`.
        checkpoint: the folder of another checkpoint than the run's best.

    Raises:
        MissingFileError, DataError: an input is missing, damaged or has not the bands that the run
            reads; names clash; `out` cannot be written, or has files of other runs.
        IncompleteError: some inputs are such, and the files of the others are complete.
        WriteError: a file cannot be written, say as the disk is full.
        ConfigError: an override is wrong.
        RunError: there is no run, or the device has too little memory.
    """
    settings, reporter = settings or PredictSettings(), reporter or Silent()
    trained = load_run(run, overrides=overrides, checkpoint=checkpoint)
    jobs = find_jobs(inputs, out, settings)
    way = _Way(trained, _inference(trained), _bands(trained, settings), settings)
    make_folder(out, DataError, "name another one with --out")
    require_no_folder(out / FACTS, *(path for job in jobs for path in job.files.values()))
    _warn_of_pictures(jobs, settings, reporter)
    if unread := left_out(inputs, out):
        reporter.warn(unread_note(unread))
    failures = Failures(reporter, "image", len(jobs))
    sizes = {}
    for job in jobs:
        with failures.of(job.source):
            sizes[job.source] = _checked_size(job, way.bands, reporter)
    failures.raise_if_all()
    _claim(out, jobs, _facts(way), overwrite=settings.overwrite)
    for folder in {path.parent for job in jobs for path in job.files.values()}:
        remove_leftovers(folder)
    for sentence in (*trained.cautions, *_seams(way.inference)):
        reporter.warn(sentence)
    _write_all([job for job in jobs if job.source in sizes], sizes, way, reporter, failures)
    maps = [job.files["map"] for job in jobs if not failures.has(job.source)]
    failures.raise_if_any(maps)
    return maps


def _write_all(
    jobs: Sequence[Job],
    sizes: Mapping[Path, tuple[int, int]],
    way: _Way,
    reporter: Reporter,
    failures: Failures,
) -> None:
    """Write the files that are missing, of one input after the other."""
    missing = {job.source: _missing(job, way.settings, reporter) for job in jobs}
    if kept := sum(not kinds for kinds in missing.values()):
        reporter.say(f"{kept} of {len(jobs)} are there already; --overwrite computes them anew")
    windows = sum(
        _count_windows(sizes[source], way.inference)
        for source, kinds in missing.items()
        if _by_blocks(kinds)
    )
    if not any(missing.values()):
        return
    with (
        memory_errors(partial(_too_little, way.inference)),
        reporter.bar("predict, windows", windows) as bar,
    ):
        for job in jobs:
            with failures.of(job.source):
                _write(job, missing[job.source], way, bar)


def _warn_of_pictures(jobs: Sequence[Job], settings: PredictSettings, reporter: Reporter) -> None:
    """Name the inputs that have no place on the earth where polygons are asked for.

    Raises:
        DataError: none of the inputs has one.
    """
    pictures = [job.source for job in jobs if not job.is_raster]
    if not settings.polygons or not pictures:
        return
    if len(pictures) == len(jobs):
        require_place(pictures[0], Frame(0, 0))
    reporter.warn(
        f"{counted(len(pictures), 'picture')} without a place on the earth, such as {pictures[0]}: "
        "no polygons are written for them"
    )


def _bands(trained: TrainedRun, settings: PredictSettings) -> BandSettings | None:
    """The bands that are read, as many as the student takes."""
    bands = settings.bands or trained.manifest.bands
    count = SHOWN if bands is None else len(bands.indices)
    if count != trained.student.bands:
        raise ConfigError(
            f"the run's student sees {trained.student.bands} bands, found {count}",
            where="--bands",
            remedy=f"name {trained.student.bands} bands in the order of the manifest's bands.indices",
        )
    return bands


def _inference(trained: TrainedRun) -> InferenceSettings:
    """The run's windows, else its crops; overlaps fade into each other."""
    inference = trained.config.evaluation.inference
    window = inference.window if inference.mode == "slide" else trained.config.views.crop
    how = inference.model_copy(update={"mode": "slide", "blend": "hann", "window": window})
    require_fitting_window(how, trained.student.encoder.patch)
    return how


def _seams(how: InferenceSettings) -> Iterator[str]:
    if how.overlap == 0:
        yield (
            "the run's windows do not overlap, so maps show where they meet; "
            "--set evaluation.inference.overlap=0.33 lets them fade into each other"
        )


def _count_windows(size: tuple[int, int], how: InferenceSettings) -> int:
    return prod(len(window_starts(side, how.window, how.overlap)) for side in size)


def _too_little(how: InferenceSettings, detail: str) -> RunError:
    return RunError(
        f"the device's memory is too small to predict {how.batch} windows of {how.window} px at a time ({detail})",
        where="evaluation.inference.batch",
        remedy=f"run the command again with --set evaluation.inference.batch={how.batch // 2}"
        if how.batch > 1
        else "predict on a larger device, or a CPU",
    )


def _checked_size(job: Job, bands: BandSettings | None, reporter: Reporter) -> tuple[int, int]:
    """Height and width of an input, px, whose header promises that it can be predicted."""
    with open_raster(job.source, bands) as raster:
        if "polygons" in job.files:
            require_place(job.source, raster.frame)
        placed = raster.frame.crs is not None or raster.frame.gcps or raster.frame.rpcs is not None
        if job.is_raster and not placed:
            reporter.warn(
                f"{job.source} has no coordinate reference system, so its map has none either"
            )
        if raster.image.turned:
            reporter.warn(f"{job.source} is turned as its EXIF orientation says, and so is its map")
        return raster.frame.height, raster.frame.width


def _facts(way: _Way) -> dict[str, Any]:
    """What decides the files' content."""
    trained = way.trained
    return {
        "format": FORMAT.number,
        "run": trained.folder.path.resolve().name,
        "checkpoint": trained.checkpoint.fingerprint,
        "weights": trained.weights,
        "inference": deciding(way.inference, Role.SCORING),
        "bands": None if way.bands is None else way.bands.model_dump(mode="json"),
        "cog": way.settings.cog,
    }


def _noted(path: Path) -> dict[str, Any]:
    return FORMAT.current(read_json(path, DataError), path, DataError)


def _claim(out: Path, jobs: Sequence[Job], facts: dict[str, Any], *, overwrite: bool) -> None:
    """Note in `out` how its maps are made; refuse what was made in another way."""
    noted = out / FACTS
    if not overwrite:
        there = [path for job in jobs for path in job.files.values() if path.exists()]
        known = noted.is_file()
        found = list(differences(_noted(noted), facts)) if known else []
        if found or (there and not known):
            raise DataError(
                "the folder has maps of another run, or made in another way: " + "; ".join(found)
                if found
                else f"{len(there)} files are there already, the first is {there[0]}",
                where=out,
                remedy="name another folder with --out, or replace files with --overwrite",
            )
    write_json(noted, facts)


def _missing(job: Job, settings: PredictSettings, reporter: Reporter) -> list[OutputKind]:
    """The files of an input that are to be written: all, or those that are not there or are damaged."""
    if settings.overwrite:
        return list(job.files)
    missing = []
    for kind, path in job.files.items():
        if not path.exists():
            missing.append(kind)
        elif not is_whole(path):
            reporter.warn(f"{path} is damaged and is written again")
            missing.append(kind)
    return missing


def _by_blocks(kinds: Sequence[OutputKind]) -> list[OutputKind]:
    return [kind for kind in kinds if kind in BY_BLOCKS]


def _write(job: Job, kinds: Sequence[OutputKind], way: _Way, bar: Bar) -> None:
    """Write the files of one input that are missing: first what comes by blocks, then what the map becomes."""
    manifest, by_blocks = way.trained.manifest, _by_blocks(kinds)
    if by_blocks:
        with ExitStack() as stack:
            source, frame = stack.enter_context(open_source(job.source, way.bands))
            writers = {
                kind: stack.enter_context(
                    open_layer(job, kind, frame, manifest, cog=way.settings.cog)
                )
                for kind in by_blocks
            }
            for top, left, logits in _logits(way, source):
                require_finite_output(logits)
                valid = source.valid(top, left, *logits.shape[1:])
                for kind, writer in writers.items():
                    writer.write(top, left, layer_block(kind, logits, valid, manifest.ignore_id))
                bar.advance(note=job.source.name)
    for kind in kinds:
        if kind not in BY_BLOCKS:
            derive(job, kind, manifest, way.bands)


def _logits(way: _Way, source: Source) -> Iterator[tuple[int, int, Tensor]]:
    student = way.trained.student
    device = next(student.parameters()).device

    def read(top: int, left: int, height: int, width: int) -> Tensor:
        pixels = source.read(top, left, height, width)
        return student.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])[0]

    def model(windows: Tensor) -> Tensor:
        return averaged_logits(
            student.logits, windows.to(device), way.inference, student.encoder.patch
        )

    return blended_blocks(model, read, source.size, way.inference)
