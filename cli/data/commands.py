"""`rsmtdf data`: check whether a dataset on this machine matches its manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import RichReporter, Text, labeled, out, percent, show, table
from cli.data.init import init
from cli.data.prepare import download, prepare
from cli.options import copy_file
from rsmtdf_core.words import counted

if TYPE_CHECKING:
    from rsmtdf_core.scenes.check import DatasetCheck
    from rsmtdf_core.scenes.manifest import Manifest

_MOST = 3  # files named in one line

app = typer.Typer(no_args_is_help=True)
app.command()(download)
app.command()(prepare)


@app.callback()
def data() -> None:
    """Fetch and prepare benchmarks, write manifests, and check datasets against them."""


@app.command("list")
def list_manifests() -> None:
    """List the manifests that come with the package."""
    from rsmtdf_core.scenes.manifest import load_manifest, packaged_manifests

    for name in packaged_manifests():
        out.print(labeled(f"{name:<18}", load_manifest(name).title))


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A packaged manifest.")],
    path: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Copy a packaged manifest to a file of your own, comments included."""
    from importlib.resources import files

    import data_manifests
    from rsmtdf_core.scenes.manifest import load_manifest

    load_manifest(name)
    copy_file(Path(str(files(data_manifests))) / f"{name}.yaml", path)


app.command()(init)


@app.command()
def check(
    manifest: Annotated[
        str,
        typer.Argument(metavar="MANIFEST", help="A packaged manifest's name, or a .yaml file."),
    ],
    root: Annotated[
        Path, typer.Option(help="The data root: the manifest's path patterns are relative to it.")
    ],
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Also write samples.png (scenes with their masks), classes.png (classes by split) and "
            "check.json to this folder.",
        ),
    ] = None,
) -> None:
    """Open every image and mask, count the pixels of each class and list every faulty file.

    Also reports images that are in two splits under different names: with equal bytes, or with equal pixels in
    another format. Exits with status 1 if there is a problem.
    """
    from pipeline.data.check import check_data
    from rsmtdf_core.scenes.manifest import load_manifest

    spec = load_manifest(manifest)
    result = check_data(spec, root, pictures, RichReporter())
    out.print(_splits_table(spec, result))
    for split in result.splits:
        if split.labeled and split.unlabeled:
            out.print(Text(f"without labels in {split.name}: {_some(split.unlabeled)}"))
    for note in result.notes:
        out.print(Text(f"note: {note}"))
    if pictures is not None:
        show("pictures", pictures)
    if result.problems:
        out.print(_problems_table(result))
        for hint in result.hints:
            out.print(Text(f"hint: {hint}", style="yellow"))
        raise typer.Exit(1)
    out.print(Text("no problems found", style="green"))


def _splits_table(manifest: "Manifest", result: "DatasetCheck") -> Table:
    """The number of scenes in each split, and the percentage of mask pixels of each class."""
    from rsmtdf_core.scenes.colors import picture_colors

    rows = table(manifest.title, "", *(split.name for split in result.splits))
    rows.add_row("scenes", *(str(split.scenes) for split in result.splits))
    rows.add_row("labeled", *(str(split.labeled) for split in result.splits))
    if any(split.left_out for split in result.splits):
        rows.add_row("left out", *(str(split.left_out) for split in result.splits))
    totals = [sum(split.pixels.values()) + split.ignored for split in result.splits]
    rows.add_row("mask pixels", *(f"{total:,}" for total in totals), end_section=True)
    for spec, color in zip(manifest.classes, picture_colors(manifest).classes, strict=True):
        counts = [split.pixels[spec.name] for split in result.splits]
        swatch = Text.assemble(("\u2588\u2588 ", color), spec.name, " %")
        rows.add_row(swatch, *map(_share, counts, totals))
    rows.add_row("ignored %", *map(_share, [split.ignored for split in result.splits], totals))
    return rows


def _problems_table(result: "DatasetCheck") -> Table:
    """The first problems of each kind, and the number of further ones."""
    from rsmtdf_core.scenes.problems import grouped

    title = counted(len(result.problems), "problem")
    rows = Table("file", "problem", title=title, title_justify="left")
    for problem, more in grouped(result.problems, _MOST):
        rows.add_row(Text(problem.file, overflow="fold"), Text(problem.what))
        if more:
            rows.add_row(Text(f"and {counted(more, 'more file')}"), Text("same kind", style="dim"))
    return rows


def _some(files: Sequence[str]) -> str:
    more = f" and {len(files) - _MOST} more" if len(files) > _MOST else ""
    return f"{counted(len(files), 'image')}: {', '.join(files[:_MOST])}{more}"


def _share(count: int, total: int) -> str:
    return percent(count / total if count else None)
