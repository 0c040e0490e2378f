"""`rsmtdf export`: the student alone, for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, err, out, show, table
from cli.evaluate import ScoredModel
from cli.options import Checkpoint, Run


class ExportFormat(StrEnum):
    """What other programs read."""

    safetensors = "safetensors"
    pt2 = "pt2"
    onnx = "onnx"


def export(
    run: Run,
    folder: Annotated[Path, typer.Option("--out", help="Where the files are written.")] = Path(
        "exported"
    ),
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
            help="Which model is written.", show_default="the one the run was selected by"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    checkpoint: Checkpoint = None,
) -> None:
    """Write a run's best student without EMA model, optimiser or teachers, and check it against the run's own.

    pt2 and onnx take uint8 RGB images [B, 3, H, W] of any batch and size (multiples of the patch or stride) and
    normalise them inside. A JSON beside the file tells classes, colours, sizes and where the model comes from.
    """
    from pipeline.exchange.export import export_run

    report = export_run(
        run,
        folder,
        kind.value,
        weights=weights.value if weights else None,
        overwrite=overwrite,
        reporter=RichReporter(),
        checkpoint=checkpoint,
    )
    shown = table("logits against the run's own model", "images", "size, px", "largest difference")
    for one in report.checks:
        shown.add_row(str(one.images), f"{one.height} x {one.width}", f"{one.difference:.1e}")
    out.print(shown)
    size = report.file.stat().st_size / 2**20
    show("model", f"{report.file} ({size:.1f} MiB)")
    show("facts", report.facts)
    for sentence in report.cautions:
        err.print(sentence, style="bold yellow")
