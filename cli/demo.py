"""`rsmtdf demo`: extract, train and evaluate on small scenes."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, err, show, show_command
from cli.evaluate import show_report


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Real scenes: the folder of the Dubai dataset (Tile 1 .. Tile 8)."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Real teachers: a folder with dinov2_vits14_lineage_fp16.safetensors and "
            "tf_efficientnet_lite0_fp16.safetensors."
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for all output.")] = Path(
        "outputs/demo"
    ),
) -> None:
    """Extract, train and evaluate on small drawn scenes with tiny random teachers; takes minutes on a CPU.

    With --data and --weights, use real scenes and real teachers instead.
    """
    from pipeline.demo.run import run_demo

    if (data is None) != (weights is None):
        raise typer.BadParameter("--data and --weights go together")
    if data is None:
        err.print(
            "The demo's teachers have RANDOM WEIGHTS: the demo shows that everything runs, "
            "and its scores do not reflect the method.",
            style="bold yellow",
        )
    result = run_demo(folder, data, weights, RichReporter())
    show_report(result.report)
    show("picture", result.folder / "panel.png")
    show("confusion", result.folder / "confusion.png")
    show_command("try it on an image", "rsmtdf", "predict", result.run, "IMAGE")
