"""`rsmtdf data download` and `rsmtdf data prepare`: fetch a published benchmark and write its manifests."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import RichReporter, Text, err, out, show_command, table
from rsmtdf_core.words import counted

if TYPE_CHECKING:
    from pipeline.data.prepare import PrepareReport


class BenchmarkName(StrEnum):
    """Benchmarks that can be prepared."""

    loveda = "loveda"
    potsdam = "potsdam"
    deepglobe = "deepglobe"


class PaddingLabel(StrEnum):
    """The label of crop pixels outside their tile."""

    ignore = "ignore"
    dwl = "dwl"


class Masks(StrEnum):
    """The encoding of classes in masks."""

    published = "published"
    ids = "ids"
    ids_from_1 = "ids-from-1"


Which = Annotated[
    BenchmarkName, typer.Argument(metavar="loveda|potsdam|deepglobe", show_default=False)
]
To = Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write to.")]


def download(benchmark: Which, to: To) -> None:
    """Fetch a benchmark's archives, or print their source if it needs a login.

    Run the command again to resume an interrupted download. Every archive is checked against its published md5.
    """
    from pipeline.data.prepare import BENCHMARKS
    from pipeline.data.prepare.download import download as fetch

    spec = BENCHMARKS[benchmark.value]
    if spec.urls:
        for path in fetch(spec.urls, spec.md5, to, RichReporter()):
            out.print(Text(f"{path}: complete, md5 as published"))
    else:
        out.print(Text(f"{benchmark.value} needs a login. {spec.source}"), soft_wrap=True)
        out.print(Text(f"Put the archives, or their contents, into {to}."), soft_wrap=True)
    show_command(
        "next", "rsmtdf", "data", "prepare", benchmark.value, "--from", to, "--to", "PREPARED"
    )


def prepare(
    benchmark: Which,
    source: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="DIR-OR-ARCHIVE",
            help="The folder with the benchmark's files or zip archives, or an archive (may be given several "
            "times). The files may be at any depth, in the folders of the archives.",
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DIR", help="The folder for manifests, unpacked files and crops."
        ),
    ],
    splits: Annotated[
        list[Path] | None,
        typer.Option(
            "--splits",
            metavar="DIR",
            help="A folder of official lists, such as [cyan]splits/Potsdam/1[/]: labeled.txt and unlabeled.txt, "
            "with val.txt and test.txt in it or in its parent. May be given several times.",
        ),
    ] = None,
    crops: Annotated[
        bool,
        typer.Option(
            "--crops", help="Cut crops of 512 px, named as in the official lists, into DIR/crops."
        ),
    ] = False,
    padding_label: Annotated[
        PaddingLabel,
        typer.Option(
            help="The label of crop pixels outside their tile: ignored, or the class of the published crops "
            "(Potsdam clutter, DeepGlobe urban)."
        ),
    ] = PaddingLabel.ignore,
    masks: Annotated[
        Masks,
        typer.Option(
            help="The encoding of the masks: as published; class ids from 0, with 255 for no class; or from 1, "
            "with 0 for no class."
        ),
    ] = Masks.published,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Accept an incomplete benchmark; every report will note it."
        ),
    ] = False,
) -> None:
    """Check a benchmark's files and write manifests that point at them.

    By default no pixel is copied: scenes are windows of the originals. The command compares counts, sizes, pairs and
    checksums with the published ones, opens every file, and lists missing files. Run it again to resume.

    [cyan]rsmtdf data prepare potsdam --from Potsdam --splits splits/Potsdam/1 --to prepared[/]
    """
    from pipeline.data.prepare import PrepareSettings
    from pipeline.data.prepare import prepare as run
    from rsmtdf_core.validation import validate

    settings = validate(
        PrepareSettings,
        {
            "benchmark": benchmark.value,
            "source": source,
            "to": to,
            "splits": splits or (),
            "crops": crops,
            "padding_label": padding_label.value,
            "masks": masks.value,
            "partial": partial,
        },
        "options of rsmtdf data prepare",
    )
    _show(run(settings, RichReporter()))


def _show(report: "PrepareReport") -> None:
    manifests = table(
        f"{counted(report.images, 'image')} below {report.root}", "manifest", "train", "labeled"
    )
    manifests.add_column("val", justify="right")
    manifests.add_column("test", justify="right")
    for manifest in report.manifests:
        counts = [f"{manifest.scenes.get(split, 0):,}" for split in ("train", "val", "test")]
        labeled = "drawn" if manifest.labeled is None else f"{manifest.labeled:,}"
        manifests.add_row(str(manifest.path), counts[0], labeled, *counts[1:])
    out.print(manifests)
    for manifest in report.manifests:
        for note in manifest.notes:
            out.print(Text(f"{manifest.path.stem}: {note}"), soft_wrap=True)
    if report.unmatched:
        err.print(
            Text(f"{report.unmatched:,} mask pixels match no class and are ignored", style="yellow")
        )
    for note in report.notes:
        err.print(Text(note, style="yellow"), soft_wrap=True)
    path = report.manifests[0].path
    show_command("next", "rsmtdf", "data", "check", path, "--root", report.root)
    out.print(
        Text(f"or in a config: data: {{manifest: {path}, root: {report.root}}}"), soft_wrap=True
    )
