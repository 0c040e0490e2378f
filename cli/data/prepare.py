"""`rsmtdf data download` and `rsmtdf data prepare`: from a published benchmark's archives to manifests."""

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
    """What crops have in their masks where they reach over their tile."""

    ignore = "ignore"
    dwl = "dwl"


class Masks(StrEnum):
    """How masks encode classes."""

    published = "published"
    ids = "ids"
    ids_from_1 = "ids-from-1"


Which = Annotated[
    BenchmarkName, typer.Argument(metavar="loveda|potsdam|deepglobe", show_default=False)
]
To = Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to write.")]


def download(benchmark: Which, to: To) -> None:
    """Fetch a benchmark's archives where that needs no login, else say where to get them.

    A download that was cut off goes on when run again; every archive is checked against its published md5.
    """
    from pipeline.data.prepare import BENCHMARKS
    from pipeline.data.prepare.download import download as fetch

    spec = BENCHMARKS[benchmark.value]
    if spec.urls:
        for path in fetch(spec.urls, spec.md5, to, RichReporter()):
            out.print(Text(f"{path}: whole, md5 as published"))
    else:
        out.print(Text(f"{benchmark.value} needs a login. {spec.source}"), soft_wrap=True)
        out.print(Text(f"Put the archives, or what they hold, into {to}."), soft_wrap=True)
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
            "times). Folders may lie as the archives unpack, at any depth.",
        ),
    ],
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", help="Where manifests, unpacked files and crops go."),
    ],
    splits: Annotated[
        list[Path] | None,
        typer.Option(
            "--splits",
            metavar="DIR",
            help="A folder of official lists, such as [cyan]splits/Potsdam/1[/]: labeled.txt and unlabeled.txt, "
            "with val.txt and test.txt in it or above it. May be given several times.",
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
            help="Where crops reach over their tile: ignored, or labeled as the published crops are (Potsdam "
            "clutter, DeepGlobe urban)."
        ),
    ] = PaddingLabel.ignore,
    masks: Annotated[
        Masks,
        typer.Option(
            help="How masks encode classes: as published; class ids from 0, 255 being no class; or from 1, 0 "
            "being no class."
        ),
    ] = Masks.published,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Accept fewer files than there should be; every report will say so."
        ),
    ] = False,
) -> None:
    """Check a benchmark's files and write manifests that point at them.

    By default no pixel is copied: scenes are windows of the originals. Counts, sizes, pairs and published checksums are
    compared with what should be, every file is opened, and what is missing is named. Interrupted, it goes on when run
    again.

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
    made = table(
        f"{counted(report.images, 'image')} below {report.root}", "manifest", "train", "labeled"
    )
    made.add_column("val", justify="right")
    made.add_column("test", justify="right")
    for one in report.manifests:
        counts = [f"{one.scenes.get(split, 0):,}" for split in ("train", "val", "test")]
        labeled = "drawn" if one.labeled is None else f"{one.labeled:,}"
        made.add_row(str(one.path), counts[0], labeled, *counts[1:])
    out.print(made)
    for one in report.manifests:
        for note in one.notes:
            out.print(Text(f"{one.path.stem}: {note}"), soft_wrap=True)
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
