"""`rsmtdf predict`: class maps of single images."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, out
from cli.options import Run


def predict(
    run: Run,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images to predict.")],
    folder: Annotated[Path, typer.Option("--out", help="Where the maps are written.")] = Path(
        "predictions"
    ),
) -> None:
    """Predict single images: a palette PNG of class ids, and a panel with legend to look at."""
    from pipeline.predict import predict as predict_images

    for path in predict_images(run, images, folder, RichReporter()):
        out.print(str(path), soft_wrap=True, highlight=False)
