"""The predict stage: runs the student over every input in blended windows, block by block."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from pipeline.predict.batches import Failures
from pipeline.predict.inputs import PLACED, Job, find_jobs, left_out
from pipeline.predict.items import assets_of
from pipeline.predict.members import Members
from pipeline.predict.predictor import Models, Predictor, load_predictor
from pipeline.predict.record import RECORD, claim, facts_of_maps
from pipeline.predict.settings import PredictSettings
from pipeline.predict.writing import write_all
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.files import make_folder, remove_leftovers, require_writable
from rsmtdf_core.maps.polygons import EXACT, require_place
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.images.folder import unread_note
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.source import File
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.words import counted


def predict(
    run: Path,
    inputs: Sequence[File],
    out: Path,
    settings: PredictSettings | None = None,
    reporter: Reporter | None = None,
    *,
    overrides: Sequence[str] = (),
    checkpoint: Choice | None = None,
    ensemble: Sequence[Path] = (),
    workers: int = 1,
) -> list[Path]:
    """Predict images, GeoTIFFs and folders of them.

    A GeoTIFF becomes `<name>.tif`, a palette raster with the same georeference, with a style for QGIS, `<name>.qml`.
    Another image becomes `<name>.png`, a palette picture. Both have a small picture of image and map,
    `<name>-panel.png`. Files are written atomically. Files that the
    same run wrote before with the same settings are kept, so an interrupted prediction can be resumed.

    Args:
        run: the run's folder.
        inputs: files, folders to search, STAC documents, and rasters at addresses. If the run's scenes have one file
            for each band, folders are searched for such scenes.
        out: the output folder; its `predictions.json` records the run and the settings.
        settings: selects the outputs.
        reporter: shows progress.
        overrides: `key=value` for keys of `evaluation.inference` and for `runtime.device`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None uses the best.
        ensemble: further runs, of which the best model is used; the probabilities of all runs are averaged.
        workers: number of processes, each with its own models, that predict different inputs. Results are the same.

    Returns:
        The maps of class ids, in the order of the inputs.

    Raises:
        MissingFileError, DataError: If an input is missing, damaged or lacks bands that the run reads,
            if names clash, or if `out` cannot be written or has files of other runs.
        IncompleteError: If some of several inputs fail; the files of the others are complete.
        WriteError: If a file cannot be written, for example because the disk is full.
        ConfigError: If an override is invalid, or the runs of an ensemble differ in their classes or bands.
        RunError: If there is no run, the device has too little memory, or a worker process ends.
    """
    settings, reporter = settings or PredictSettings(), reporter or Silent()
    _require_packages(settings)
    models = Models(run, tuple(ensemble), tuple(overrides), checkpoint)
    predictor = load_predictor(models, settings, reporter)
    members = predictor.members
    _require_ensemble(settings, members)
    jobs = find_jobs(inputs, out, settings, _patterns(predictor), _assets(predictor))
    make_folder(out, DataError, "name another folder with --out")
    require_writable(out / RECORD, *(path for job in jobs for path in job.files.values()))
    _warn_of_pictures(jobs, settings, reporter)
    if unread := left_out(inputs, out):
        reporter.warn(unread_note(unread))
    failures = Failures(reporter, "image", len(jobs))
    sizes = {}
    for job in jobs:
        with failures.of(job.source):
            sizes[job.source] = _checked_size(job, predictor.bands, reporter)
    failures.raise_if_all()
    claim(out, jobs, facts_of_maps(predictor), overwrite=settings.overwrite)
    for folder in {path.parent for job in jobs for path in job.files.values()}:
        remove_leftovers(folder)
    cautions = dict.fromkeys(sentence for run in members.runs for sentence in run.cautions)
    for sentence in (*cautions, *_seams(predictor.inference)):
        reporter.warn(sentence)
    readable = [job for job in jobs if job.source in sizes]
    write_all(readable, sizes, predictor, reporter, failures, models, workers)
    maps = [job.files["map"] for job in jobs if not failures.has(job.source)]
    failures.raise_if_any(maps)
    return maps


def _warn_of_pictures(jobs: Sequence[Job], settings: PredictSettings, reporter: Reporter) -> None:
    """Warn of inputs without a georeference if outputs with coordinates are requested.

    Raises:
        DataError: If none of the inputs can have a georeference.
    """
    pictures = [job.first for job in jobs if not job.is_raster]
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


def _patterns(predictor: Predictor) -> tuple[str, ...]:
    """Return the patterns of the files of scenes with several files; empty for scenes of one file."""
    if predictor.settings.images:
        return predictor.settings.images
    patterns = predictor.trained.manifest.image_patterns
    return patterns if len(patterns) > 1 and not assets_of(patterns) else ()


def _assets(predictor: Predictor) -> tuple[str, ...]:
    """Return the chosen assets of STAC items, or those of the run's manifest."""
    return predictor.settings.assets or assets_of(predictor.trained.manifest.image_patterns)


def _seams(inference: InferenceSettings) -> Iterator[str]:
    if inference.overlap == 0:
        yield (
            "the run's windows do not overlap, so maps may show seams; "
            "use --set evaluation.inference.overlap=0.33 to blend the windows"
        )


def _checked_size(job: Job, bands: BandSettings | None, reporter: Reporter) -> tuple[int, int]:
    """Check the header of an input, and return its height and width in px."""
    with open_raster(job.source, bands) as raster:
        if job.files.keys() & PLACED:
            require_place(job.first, raster.frame)
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
