"""`rsmtdf predict`: class maps of images, GeoTIFFs and folders of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.console import LOADING, RichReporter, show_path
from cli.options import Bands, Checkpoint, InferenceOverrides, Run, Scale, read_bands
from rsmtdf_core.errors import IncompleteError


def predict(
    run: Run,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="PNG, JPEG or GeoTIFF files, folders of them at any depth, addresses of rasters (http://, https://, "
            "s3://), and STAC documents (.json, also at addresses): the image of each item.",
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the maps.")] = Path(
        "predictions"
    ),
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write <name>-probabilities.tif, one band per class: 254 times the probability in uint8, "
            "255 for no data.",
        ),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Also write <name>-confidence.tif: the largest probability, in the same units.",
        ),
    ] = False,
    disagreement: Annotated[
        bool,
        typer.Option(
            "--disagreement",
            help="Also write <name>-disagreement.tif: how much the runs of an ensemble disagree, from 0 for equal "
            "probabilities to 1 for runs that are certain of different classes, in the same units.",
        ),
    ] = False,
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated",
            help="Write probabilities and confidences as the model computes them, without the temperature of "
            "`rsmtdf calibrate`.",
        ),
    ] = False,
    polygons: Annotated[
        bool,
        typer.Option(
            "--polygons",
            help="Also write <name>-polygons.geojson: connected areas of one class, in longitude and latitude "
            "(EPSG:4326). For GeoTIFFs only.",
        ),
    ] = False,
    geopackage: Annotated[
        bool,
        typer.Option(
            "--geopackage",
            help="Also write <name>-polygons.gpkg: the same areas in the raster's CRS, with class, area in m² and mean "
            "confidence; and <name>-confidence.tif.",
        ),
    ] = False,
    min_area: Annotated[
        float,
        typer.Option(
            metavar="M2",
            min=0,
            help="Smallest area of a polygon in m² (minimum mapping unit); smaller areas take the class of their "
            "largest neighbor. The map itself stays as it is.",
        ),
    ] = 0.0,
    simplify: Annotated[
        float,
        typer.Option(
            metavar="M",
            min=0,
            help="Remove corners of polygons of about this size in m. Neighbors keep their common borders.",
        ),
    ] = 0.0,
    stac: Annotated[
        bool,
        typer.Option(
            "--stac",
            help="Also write <name>-stac.json: a STAC item of the map and its files, with the model in MLM's fields.",
        ),
    ] = False,
    cog: Annotated[
        bool, typer.Option("--cog", help="Write Cloud Optimized GeoTIFFs, with overviews.")
    ] = False,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Average the probabilities with those of another run, of the same classes and bands. May be given "
            "several times.",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="In folders, predict scenes of several files that are stacked to their bands: a path pattern for each "
            "file, such as '{name}_B04.tif', or B04.tif in a folder for each scene. May be given several times.",
            show_default="the manifest's, if it has several",
        ),
    ] = None,
    assets: Annotated[
        list[str] | None,
        typer.Option(
            "--asset",
            metavar="KEY",
            help="The asset of STAC items to predict, by its key, or role=ROLE. Given several times, the files are "
            "stacked to the bands of an image.",
            show_default="the manifest's, or visual",
        ),
    ] = None,
    bands: Bands = None,
    scale: Scale = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that predict different images, each with its own copy of the model.",
        ),
    ] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Recompute files that exist.")
    ] = False,
    overrides: InferenceOverrides = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Predict images and rasters of any size in overlapping windows with blended borders.

    A GeoTIFF becomes a GeoTIFF of class ids with the same georeference and a color table, and a style with class
    names that QGIS applies; pixels without data get the manifest's ignore id. Large rasters are read and written in
    parts. Any other image becomes a palette PNG. Each map has a small picture with a legend, <name>-panel.png. The
    run's config sets the windows, and the scales and mirrored copies to average over.

    Files are written atomically, and earlier files of the run are kept: after Ctrl-C, run the command again. Images
    that cannot be read are skipped and listed at the end, and the exit status is 1.
    """
    reporter = RichReporter()
    with reporter.status(LOADING):
        from pipeline.predict import PredictSettings
        from pipeline.predict import predict as predict_inputs
        from rsmtdf_core.scenes.images.source import parse_file
        from rsmtdf_core.validation import validate

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
        "bands": read_bands(bands, scale),
        "images": tuple(images or ()),
        "assets": tuple(assets or ()),
    }
    try:
        maps = predict_inputs(
            run,
            [parse_file(text) for text in inputs],
            folder,
            validate(PredictSettings, values, "predict"),
            reporter,
            overrides=overrides or [],
            checkpoint=checkpoint,
            ensemble=ensemble or [],
            workers=workers,
        )
    except IncompleteError as error:
        _show_paths(error.written)
        raise
    _show_paths(maps)


def _show_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        show_path(path)
