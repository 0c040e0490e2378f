"""`rsmtdf data init`: propose a manifest for a folder of images and masks."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import RichReporter, Text, err, out, show_command, table
from cli.options import Bands, Scale, read_bands
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.words import printable

if TYPE_CHECKING:
    from pipeline.data.init import Draft, Looked, NamedClass

_MOST = 200  # characters of a cell
_VALUE = re.compile(r"-?\d{1,9}|#[0-9A-Fa-f]{6}")


def init(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with images and masks.")],
    path: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write.", show_default="manifest.yaml in DIR"),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Path pattern of the images, such as 'images/{name}.png'. Given several times, the files of a scene "
            "are stacked to its bands. Or a STAC document in DIR, items.json, or an asset of its items, "
            "'items.json#{name}/visual'.",
            show_default="guessed",
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Path pattern of the masks, with the same fields."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Labels drawn as shapes (.gpkg, .shp, .geojson, COCO or LabelMe .json): a file or folder in DIR, or a "
            "pattern such as 'labels/{name}.json'.",
            show_default="such files, if there are no masks",
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(help="Attribute of these labels with the class.", show_default="guessed"),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(help="Class of pixels that no label covers, in the annotated area."),
    ] = None,
    annotated: Annotated[
        str | None,
        typer.Option(
            metavar="AREA",
            help="Where everything was labeled: 'everywhere', 'nonempty' (COCO and LabelMe: images with a shape), a "
            "layer of the labels or a file in DIR; its outside is ignored.",
        ),
    ] = None,
    buffer: Annotated[
        float | None,
        typer.Option(help="Distance around lines and points, m; px for COCO and LabelMe.", min=0),
    ] = None,
    all_touched: Annotated[
        bool, typer.Option("--all-touched", help="Label all pixels that a geometry touches.")
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="Class names in the order of the mask values, or pairs such as 'water=#0000FF,field=#FFFF00' for "
            "masks in colors.",
        ),
    ] = None,
    classes_from: Annotated[
        Path | None,
        typer.Option(
            help="A file with one class name per line, optionally followed by its color (#RRGGBB)."
        ),
    ] = None,
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="VALUES",
            help="Values without a class: 0,255 or '#000000' or --ignore=-9999 in masks, names of shapes as in "
            "'unsure,other'; 'none' ignores no value.",
            show_default="guessed",
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE=CLASS,...",
            help="Class of each mask value, color, attribute, category or label; several may be of one class: "
            "1=road,7=road or 'car=vehicle,bus=vehicle'.",
        ),
    ] = None,
    bands: Bands = None,
    scale: Scale = None,
    blocks: Annotated[
        float | None,
        typer.Option(
            metavar="SIZE",
            help="Draw the splits by blocks of this side, in m if the images have a georeference, else in px.",
        ),
    ] = None,
    block_buffer: Annotated[
        float,
        typer.Option(
            metavar="DISTANCE", help="Least distance of scenes of different splits.", min=0
        ),
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Propose a manifest for a folder and write it with comments; show each guess and its reason.

    The manifest passes `data check`: every image and mask is opened, and copies of one image stay in one split.

    Finds pairs in images/ + masks/ (or labels/, annotations/, gt/, sat/ + map/), masks next to their images with names
    that end in _mask or _label, and folders train, val and test. Distinguishes class indices from colors by the pixels.
    For GeoTIFFs it chooses the bands named red, green and blue, else the first three, and above 8 bits a range of
    values to show. At a terminal it prompts for class names and ignored values.

    Labels from QGIS, and COCO or LabelMe files, need no rasterizing: polygons, and lines and points with a buffer, are
    drawn on the images.

    Masks in colors: names without a color take the mask colors in the order of the color values. Check the table of
    classes, or name the pairs: [cyan]--classes 'water=#0000FF,field=#FFFF00'[/]
    """
    from pipeline.data.init import (
        ShapeChoice,
        checked_draft,
        draft,
        look,
        parse_classes,
        parse_values,
        read_classes,
        require_free,
        write_manifest,
    )

    if classes is not None and classes_from is not None:
        raise typer.BadParameter("--classes and --classes-from exclude each other")
    if block_buffer and blocks is None:
        raise typer.BadParameter("--block-buffer needs --blocks")
    if masks is not None and not images:
        raise typer.BadParameter("--masks needs --images, as the two patterns have the same fields")
    named = None if classes is None else parse_classes(classes)
    path = path or root / "manifest.yaml"
    if root.is_dir():
        require_free(path, overwrite=overwrite)
    merged = {} if values is None else parse_values(values)
    words = () if ignore in (None, "none") else tuple(map(str.strip, (ignore or "").split(",")))
    shapes = ShapeChoice(
        labels, field, background, annotated, buffer, all_touched, tuple(merged.items()), words
    )
    chosen = None if blocks is None else (blocks, block_buffer)
    looked = look(
        root, RichReporter(), read_bands(bands, scale), (images or None, masks), shapes, chosen
    )
    if classes_from is not None:
        named = read_classes(classes_from)
    of_masks = looked.values is not None
    ignored = _values(ignore) if of_masks and ignore is not None else None
    of_values = {_value(value): name for value, name in merged.items()} if of_masks else {}
    if yes or not _at_terminal():
        proposal = draft(looked, path, named, ignored, of_values)
        out.print(_guess_table(proposal))
        _show_classes(proposal)
    else:
        proposal = _prompted(looked, path, named, ignored, of_values)
    proposal, checked = checked_draft(proposal, RichReporter())
    for note in checked.notes:
        out.print(Text(f"note: {note}"))
    write_manifest(proposal, path, overwrite=overwrite)
    out.print(f"wrote {path}", soft_wrap=True)
    for caution in proposal.cautions:
        RichReporter().warn(caution)
    show_command("check it", "rsmtdf", "data", "check", path, "--root", root)


def _prompted(
    looked: "Looked",
    path: Path,
    named: "list[NamedClass] | None",
    ignored: list[int | str] | None,
    values: Mapping[int | str, str],
) -> "Draft":
    """Prompt for everything that the flags left open, and return the draft.

    Raises:
        typer.Abort: If the user declines to write it.
    """
    from pipeline.data.init import draft

    proposal = draft(looked, path, None, ignored, values)
    out.print(_guess_table(proposal))
    if looked.values is not None and ignored is None and not values:
        guess = ",".join(map(str, proposal.manifest.mask_encoding.ignore)) or "none"
        ignored = _values(typer.prompt("Mask values without a class", default=guess))
        proposal = draft(looked, path, None, ignored)
    if named is None and not values:
        _show_classes(proposal)
        proposal = _prompted_names(looked, path, ignored, proposal.manifest.class_names)
    else:
        proposal = draft(looked, path, named, ignored, values)
    _show_classes(proposal)
    typer.confirm(printable(f"Write {path}?"), default=True, abort=True)
    return proposal


def _prompted_names(
    looked: "Looked", path: Path, ignored: list[int | str] | None, defaults: Sequence[str]
) -> "Draft":
    """Prompt for class names until they fit the masks, and return the draft with them."""
    from pipeline.data.init import draft, parse_classes

    while True:
        answer = typer.prompt(
            "Class names in this order (or pairs NAME=#RRGGBB)", default=",".join(defaults)
        )
        try:
            return draft(looked, path, parse_classes(answer), ignored)
        except RsmtdfError as error:
            err.print(Text(error.what, style="yellow"))


def _values(text: str) -> list[int | str]:
    """Parse mask values: whole numbers, or colors "#RRGGBB"."""
    words = [word.strip() for word in text.split(",")]
    if words in ([""], ["none"]):
        return []
    return list(map(_value, words))


def _value(word: str) -> int | str:
    """Parse a mask value: a whole number, or a color "#RRGGBB"."""
    if not _VALUE.fullmatch(word):
        raise typer.BadParameter(f"expected numbers or colors as #RRGGBB, found {word!r}")
    return word.upper() if word.startswith("#") else int(word)


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _guess_table(proposal: "Draft") -> Table:
    guesses = Table(title="guesses", title_justify="left", title_style="bold", header_style="bold")
    for column in ("", "guess", "why"):
        guesses.add_column(column, overflow="fold")
    for subject, *cells in proposal.guesses:
        shortened = (cell if len(cell) <= _MOST else f"{cell[:_MOST]} ..." for cell in cells)
        guesses.add_row(subject, *map(Text, shortened))
    return guesses


def _show_classes(proposal: "Draft") -> None:
    """Print the mask value, the color and the share of the pixels of each class, if there are masks."""
    if not proposal.class_rows:
        return
    from rsmtdf_core.scenes.colors import picture_colors

    classes = table("classes", "class", "mask value", "pixels")
    colors = picture_colors(proposal.manifest).classes
    for row, color in zip(proposal.class_rows, colors, strict=True):
        name = Text.assemble(("\u2588\u2588 ", color), row.spec.name)
        classes.add_row(name, str(row.value), f"{row.percent:.2f} %")
    out.print(classes)
