"""`rsmtdf demo`: both stages and a baseline without teachers, on small scenes."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, show, show_command
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
    """Train a student on small drawn scenes, first from labels alone, then with a teacher; minutes on a CPU.

    Both trainings have the same labeled scenes and the same number of steps on labels. The teacher is tiny, and was
    trained on other drawn scenes. With --data and --weights, use real scenes and real teachers instead.
    """
    from pipeline.demo.run import run_demo

    if (data is None) != (weights is None):
        raise typer.BadParameter("--data and --weights go together")
    result = run_demo(folder, data, weights, RichReporter())
    show_report(result.report)
    alone, taught = (100 * (report.scores.miou or 0) for report in (result.alone, result.report))
    show("mIoU", f"{alone:.1f} from labels alone, {taught:.1f} with teachers")
    show("picture", result.folder / "panel.png")
    show("report page", result.page)
    show_command("a map of an image", "rsmtdf", "predict", result.run, "IMAGE")
    show_command("a model for your own images", "rsmtdf", "start", "FOLDER")
