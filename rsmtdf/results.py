"""Verbs on existing runs: list, compare, report, export and import; and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rsmtdf.isolation import isolated, translated
from rsmtdf.paths import optional_path, paths
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.demo.run import DemoResult
    from pipeline.exchange.export import ExportFormat, ExportReport
    from pipeline.exchange.import_official import ImportReport
    from pipeline.exchange.programs import ProgramName
    from pipeline.exchange.tile_model import Precision
    from pipeline.exchange.tiles import TileReport
    from pipeline.runs import RunList, SortKey
    from pipeline.runs.compare import Comparison
    from pipeline.runs.report import Report
    from rsmtdf.paths import PathLike
    from rsmtdf.stages import Weights
    from rsmtdf_core.evaluation.areas import AreaReport


@translated
def runs(folder: PathLike | None = None, *, sort: SortKey = "name") -> RunList:
    """List runs with method, data, features used, best validation mIoU and state.

    Args:
        folder: a run, or a folder that contains runs; by default `runs`.
        sort: by "name", by "best" mIoU or by "date", the newest first.

    Raises:
        RsmtdfError: If the folder is missing.
    """
    from pipeline.runs import list_runs

    return list_runs(optional_path(folder), sort)


@translated
def compare(
    runs: PathLike | Sequence[PathLike],
    out: PathLike | None = None,
    *,
    split: Literal["val", "test"] | None = None,
    protocol: str | None = None,
    classes: bool = False,
) -> Comparison:
    """Compare runs: mean and sample standard deviation over the seeds of each configuration.

    Args:
        runs: a folder or several: runs, or folders that contain runs.
        out: folder for tables and pictures; None writes no files.
        split: compare the reports of `evaluate` for this split, by default the best validations.
        protocol: compare the scores of this protocol; needs `split`.
        classes: whether the tables have a column for each class.

    Raises:
        RsmtdfError: If there are no runs, or their scores cannot be compared.
    """
    from pipeline.runs.compare import compare as compare_runs

    return compare_runs(paths(runs), optional_path(out), split, classes=classes, protocol=protocol)


@isolated
def report(
    runs: PathLike | Sequence[PathLike],
    out: PathLike = "report.html",
    *,
    split: Literal["val", "test"] = "test",
    scenes: int = 4,
    root: PathLike | None = None,
    progress: bool = False,
) -> Report:
    """Write an HTML page on evaluated runs.

    Args:
        runs: a folder or several: runs, or folders that contain runs.
        out: the HTML file; it is replaced.
        split: show the reports of `evaluate` for this split.
        scenes: number of scenes to show; their predictions are computed.
        root: the data root, if it has moved since training.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If there are no runs, or one is damaged or was not evaluated.
    """
    from pipeline.runs.report import report as write

    return write(
        paths(runs), Path(out), split, scenes, optional_path(root), reporter(progress=progress)
    )


@translated
def areas(
    maps: PathLike | Sequence[PathLike], truth: PathLike, out: PathLike | None = None
) -> AreaReport:
    """Estimate the area of each class of maps from reference pixels, with 95 % confidence intervals.

    Args:
        maps: a map of `predict`, a folder of maps, or several.
        truth: a GeoTIFF of class ids at the reference pixels and nodata elsewhere, or a folder with one of the same
            name for each map.
        out: a JSON file for the report; None writes no file.

    Raises:
        RsmtdfError: If a file cannot be used, or a class has too few reference pixels.
    """
    from pipeline.areas.run import areas as estimate

    return estimate(paths(maps), Path(truth), optional_path(out))


@isolated
def export(
    run: PathLike,
    out: PathLike,
    *,
    format: ExportFormat = "onnx",  # noqa: A002 - the name on the command line
    program: ProgramName | None = None,
    precision: Precision = "fp32",
    resolution: float | None = None,
    tile: int | None = None,
    root: PathLike | None = None,
    weights: Weights | None = None,
    overwrite: bool = False,
    checkpoint: PathLike | int | None = None,
    progress: bool = False,
) -> ExportReport | TileReport:
    """Export a run's best student for other programs, and check that it computes the same as the run's model.

    Args:
        run: the run's folder.
        out: folder for the files.
        format: "safetensors", "pt2" or "onnx".
        program: write ONNX of one tile for "qgis" (Deepness) or "geodeep" instead; `--for` on the command line.
        precision: "fp32", "fp16" or "int8", for a program.
        resolution: size of a pixel of the training images in centimeters, for a program; by default from the scenes'
            georeference.
        tile: side of a tile in px, for a program; by default the window of the run's config, else its crop.
        root: the data root, if it has moved since training, for a program.
        weights: the EMA model or the student, by default the model that selected the best checkpoint.
        overwrite: replace existing files.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; by default the best.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If the run cannot be used, a package is missing, or the exported model computes something else.
    """
    from pipeline.exchange.export import export_run
    from pipeline.exchange.tiles import TileSettings, export_tiles
    from rsmtdf_core.errors import ConfigError
    from rsmtdf_core.validation import validate

    choices = {"precision": precision, "resolution": resolution, "tile": tile}
    if program is not None:
        if format != "onnx":
            raise ConfigError("a program reads ONNX", remedy="leave format out")
        return export_tiles(
            Path(run),
            Path(out),
            validate(TileSettings, {"program": program, **choices}, "rsmtdf.export"),
            weights=weights,
            root=optional_path(root),
            overwrite=overwrite,
            reporter=reporter(progress=progress),
            checkpoint=checkpoint,
        )
    if choices != {"precision": "fp32", "resolution": None, "tile": None} or root is not None:
        raise ConfigError("precision, resolution, tile and root need a program")
    return export_run(
        Path(run),
        Path(out),
        format,
        weights=weights,
        overwrite=overwrite,
        reporter=reporter(progress=progress),
        checkpoint=checkpoint,
    )


@isolated
def import_official(
    checkpoint: PathLike,
    dataset: str,
    *,
    root: PathLike | None = None,
    run: PathLike | None = None,
    model: Weights = "student",
    splits: PathLike | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> ImportReport:
    """Convert a checkpoint of the official RS-MTDF code to a run.

    Args:
        checkpoint: best.pth or latest.pth of the official code.
        dataset: the dataset with its classes: a packaged manifest's name, or a manifest's YAML file.
        root: the data root, by default `data/<dataset>`.
        run: the run's folder, by default `runs/<dataset>-<size>-official`.
        model: the model that is scored by default.
        splits: the manifest that lists the scenes that the model was trained on, by default unknown.
        overwrite: delete an existing run.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If the file is not such a checkpoint, or does not fit the dataset.
    """
    from pipeline.exchange.import_official import import_official as run_import

    return run_import(
        Path(checkpoint),
        dataset,
        root=optional_path(root),
        run=optional_path(run),
        weights=model,
        splits=None if splits is None else str(splits),
        overwrite=overwrite,
        reporter=reporter(progress=progress),
    )


@isolated
def demo(
    out: PathLike = "outputs/demo",
    *,
    data: PathLike | None = None,
    weights: PathLike | None = None,
    progress: bool = False,
) -> DemoResult:
    """Extract, train and evaluate on small drawn scenes with tiny teachers of random weights: minutes on a CPU.

    Args:
        out: folder for all files of the demo.
        data: real scenes, the folder of the Dubai dataset; needs `weights`.
        weights: real teachers, a folder of weights files; needs `data`.
        progress: whether bars are shown.

    Raises:
        RsmtdfError: If the scenes or the weights cannot be used.
    """
    from pipeline.demo.run import run_demo
    from rsmtdf_core.errors import ConfigError

    if (data is None) != (weights is None):
        raise ConfigError("data and weights go together", remedy="give both or none")
    folders = optional_path(data), optional_path(weights)
    return run_demo(Path(out), *folders, reporter(progress=progress))
