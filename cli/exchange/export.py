"""`rsmtdf export`: the student as a file for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import LOADING, RichReporter, err, out, show, table
from cli.evaluate import ScoredModel
from cli.options import Checkpoint, Run

if TYPE_CHECKING:
    from pipeline.exchange.tiles import TileReport


class ExportFormat(StrEnum):
    """File formats of an export."""

    safetensors = "safetensors"
    pt2 = "pt2"
    onnx = "onnx"


class Program(StrEnum):
    """Programs that predict maps with an exported model."""

    qgis = "qgis"
    geodeep = "geodeep"


class Precision(StrEnum):
    """Types of weights and activations in a file for a program."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


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
    program: Annotated[
        Program | None,
        typer.Option(
            "--for",
            help="Write ONNX for a program instead: [bold]qgis[/], its plug-in Deepness, or [bold]geodeep[/]. Tiles of "
            "a fixed size, 0 to 1, become class probabilities; classes, resolution, tile size and overlap are in the "
            "metadata.",
        ),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            help="With --for: weights and activations in float32, float16 or 8 bits (dynamic quantization). The "
            "loss is measured and printed."
        ),
    ] = Precision.fp32,
    resolution: Annotated[
        float | None,
        typer.Option(
            metavar="CM",
            min=0.001,
            max=10_000_000,
            help="With --for: size of a pixel of the training images, in centimeters.",
            show_default="from the scenes' georeference",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            min=1,
            max=16_384,
            help="With --for: side of a tile.",
            show_default="the window of the run's config, else its crop",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="With --for: the data root, if it has moved since training; the loss is measured on its scenes."
        ),
    ] = None,
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
    if program is not None:
        if kind is not ExportFormat.onnx:
            raise typer.BadParameter("--for writes ONNX: leave --format out")
        with reporter.status(LOADING):
            from pipeline.exchange.tiles import TileSettings, export_tiles
        settings = TileSettings(
            program=program.value, precision=precision.value, resolution=resolution, tile=tile
        )
        _show_tiles(
            export_tiles(
                run,
                folder,
                settings,
                weights=weights.value if weights else None,
                root=root,
                overwrite=overwrite,
                reporter=reporter,
                checkpoint=checkpoint,
            )
        )
        return
    if precision is not Precision.fp32 or any(
        value is not None for value in (resolution, tile, root)
    ):
        raise typer.BadParameter("--precision, --resolution, --tile and --root need --for")
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
    _show_files(report.file, report.facts, report.cautions)


def _show_tiles(report: "TileReport") -> None:
    loss = report.loss
    show(
        "input",
        f"{list(report.input)}, float32; output {list(report.output)}, probabilities; opset {report.opset}",
    )
    show(
        "metadata",
        f"{report.program} resamples to {report.resolution:g} cm/px; tiles overlap by {report.overlap} %",
    )
    show(
        "loss",
        f"{loss.agreement:.2%} of pixels keep the class of the run's model; probabilities differ by "
        f"{loss.mean_difference:.1e} on average, {loss.difference:.1e} at most ({loss.origin})",
    )
    _show_files(report.file, report.facts, report.cautions)


def _show_files(file: Path, facts: Path, cautions: tuple[str, ...]) -> None:
    show("model", f"{file} ({file.stat().st_size / 2**20:.1f} MiB)")
    show("facts", facts)
    for sentence in cautions:
        err.print(sentence, style="bold yellow")
