"""`rsmtdf export`: the student as a file for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import LOADING, RichReporter, err, out, show, table
from cli.evaluate import ScoredModel
from cli.options import Checkpoint, Run


class ExportFormat(StrEnum):
    """File formats of an export."""

    safetensors = "safetensors"
    pt2 = "pt2"
    onnx = "onnx"


def export(
    run: Run,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("exported"),
    kind: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="[bold]safetensors[/]: weights, for Python with rsmtdf. [bold]pt2[/]: torch.export, for torch "
            "alone. [bold]onnx[/]: for ONNX Runtime and others.",
        ),
    ] = ExportFormat.onnx,
    weights: Annotated[
        ScoredModel | None,
        typer.Option(
            help="Which model is written.", show_default="the model validated during training"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    checkpoint: Checkpoint = None,
) -> None:
    """Export a run's best model without optimizer or teachers, and check the file against the run's model.

    pt2 and onnx take uint8 RGB images [B, 3, H, W] of any batch and size (multiples of the patch or stride) and
    normalize them inside. A JSON file next to the model lists classes, colors, sizes and the origin of the model.
    """
    reporter = RichReporter()
    with reporter.status(LOADING):
        from pipeline.exchange.export import export_run

    report = export_run(
        run,
        folder,
        kind.value,
        weights=weights.value if weights else None,
        overwrite=overwrite,
        reporter=reporter,
        checkpoint=checkpoint,
    )
    shown = table("logits against the run's model", "images", "size, px", "largest difference")
    for check in report.checks:
        shown.add_row(
            str(check.images), f"{check.height} x {check.width}", f"{check.difference:.1e}"
        )
    out.print(shown)
    size = report.file.stat().st_size / 2**20
    show("model", f"{report.file} ({size:.1f} MiB)")
    show("facts", report.facts)
    for sentence in report.cautions:
        err.print(sentence, style="bold yellow")
