"""`rsmtdf predict`: class maps of images, GeoTIFFs and folders of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, show_path
from cli.options import Bands, Checkpoint, InferenceOverrides, Run, Scale, read_bands
from rsmtdf_core.errors import IncompleteError


def predict(
    run: Run,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="PNG, JPEG or GeoTIFF files, and folders of them at any depth."
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Where the maps are written.")] = Path(
        "predictions"
    ),
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write <name>-probabilities.tif, one band a class: 254 times the probability in uint8, "
            "255 where there is no data.",
        ),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Also write <name>-confidence.tif: the largest probability, in the same units.",
        ),
    ] = False,
    polygons: Annotated[
        bool,
        typer.Option(
            "--polygons",
            help="Also write <name>-polygons.geojson: connected areas of one class, in longitude and latitude "
            "(EPSG:4326). For GeoTIFFs alone.",
        ),
    ] = False,
    cog: Annotated[
        bool, typer.Option("--cog", help="Write Cloud Optimized GeoTIFFs, with overviews.")
    ] = False,
    bands: Bands = None,
    scale: Scale = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Compute anew what is there already.")
    ] = False,
    overrides: InferenceOverrides = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Predict images and rasters of any size in overlapping windows that fade into each other.

    A GeoTIFF becomes a GeoTIFF of class ids at the same place on the earth, with a colour table and the
    manifest's ignore id where the input has no data; it is read and written in parts, however large. Another
    image becomes a palette PNG, and a panel with legend to look at. Windows are as in the run's config, and so are
    the sizes and mirrored copies of each that are averaged.

    Files appear whole, and what the same run wrote before is kept: after Ctrl-C run the command again. An image
    that cannot be read is named at the end, with status 1; the others are predicted.
    """
    from pipeline.predict import PredictSettings
    from pipeline.predict import predict as predict_inputs

    settings = PredictSettings(
        probabilities=probabilities,
        confidence=confidence,
        polygons=polygons,
        cog=cog,
        overwrite=overwrite,
        bands=read_bands(bands, scale),
    )
    try:
        maps = predict_inputs(
            run,
            inputs,
            folder,
            settings,
            RichReporter(),
            overrides=overrides or [],
            checkpoint=checkpoint,
        )
    except IncompleteError as error:
        _show_paths(error.written)
        raise
    _show_paths(maps)


def _show_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        show_path(path)
