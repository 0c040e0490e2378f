"""`rsmtdf data init`: a manifest for a folder of one's own."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import RichReporter, Text, err, out, show_command
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
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Path pattern of the images, such as 'images/{name}.png'.",
            show_default="guessed",
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Path pattern of the masks, with the same fields."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Names of the classes, in the order of their values."),
    ] = None,
    classes_from: Annotated[
        Path | None,
        typer.Option(
            help="A file with a class a line, each with its colour (#RRGGBB) if you like."
        ),
    ] = None,
    ignore: Annotated[
        str | None,
        typer.Option(
            metavar="VALUES",
            help="Values of masks that stand for no class: 0,255 or '#000000' or --ignore=-9999; none for none.",
            show_default="guessed",
        ),
    ] = None,
    bands: Bands = None,
    scale: Scale = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.")
    ] = False,
) -> None:
    """Look at a folder and write a manifest for it, with comments; say what was guessed and why.

    No manifest is written that `data check` would refuse: every image and mask is opened, and copies of one image are
    kept in one split.

    Finds pairs in images/ + masks/ (or labels/, annotations/, gt/, sat/ + map/), names that end in _mask or _label
    beside their images, and folders train, val and test; tells class indices from colours by the pixels. For GeoTIFFs
    it chooses the bands that are called red, green and blue, else the first three, and above 8 bits a range of values
    to show. At a terminal it asks for names and ignored values.
    """
    from pipeline.data.init import (
        NamedClass,
        checked_draft,
        draft,
        look,
        read_classes,
        require_free,
        write_manifest,
    )

    if classes is not None and classes_from is not None:
        raise typer.BadParameter("--classes and --classes-from exclude each other")
    if masks is not None and images is None:
        raise typer.BadParameter("--masks needs --images, as the two patterns have the same fields")
    path = path or root / "manifest.yaml"
    if root.is_dir():
        require_free(path, overwrite=overwrite)
    looked = look(root, RichReporter(), read_bands(bands, scale), (images, masks))
    named = read_classes(classes_from) if classes_from else None
    if classes is not None:
        named = [NamedClass(one.strip()) for one in classes.split(",")]
    ignored = None if ignore is None else _values(ignore)
    if yes or not _at_terminal():
        made = draft(looked, path, named, ignored)
        out.print(_table(made))
    else:
        made = _asked(looked, path, named, ignored)
    made, checked = checked_draft(made, RichReporter())
    for note in checked.notes:
        out.print(Text(f"note: {note}"))
    write_manifest(made, path, overwrite=overwrite)
    out.print(f"wrote {path}", soft_wrap=True)
    show_command("check it", "rsmtdf", "data", "check", path, "--root", root)


def _asked(
    looked: "Looked",
    path: Path,
    named: "list[NamedClass] | None",
    ignored: list[int | str] | None,
) -> "Draft":
    """The draft after questions on what flags left open.

    Raises:
        typer.Abort: where it is not to be written.
    """
    from pipeline.data.init import draft

    made = draft(looked, path, None, ignored)
    out.print(_table(made))
    if looked.values is not None and ignored is None:
        guess = ",".join(map(str, made.manifest.mask_encoding.ignore)) or "none"
        ignored = _values(typer.prompt("Values that stand for no class", default=guess))
        made = draft(looked, path, None, ignored)
    if named is None:
        made = _named(looked, path, ignored, made.manifest.class_names)
    else:
        made = draft(looked, path, named, ignored)
    typer.confirm(printable(f"Write {path}?"), default=True, abort=True)
    return made


def _named(
    looked: "Looked", path: Path, ignored: list[int | str] | None, guess: Sequence[str]
) -> "Draft":
    """The draft with names that fit the masks; asked again until they do."""
    from pipeline.data.init import NamedClass, draft

    while True:
        answer = typer.prompt("Names of the classes, in this order", default=",".join(guess))
        try:
            return draft(
                looked, path, [NamedClass(one.strip()) for one in answer.split(",")], ignored
            )
        except RsmtdfError as error:
            err.print(Text(error.what, style="yellow"))


def _values(text: str) -> list[int | str]:
    """Values as typed: numbers, or colours with their sign."""
    words = [one.strip() for one in text.split(",")]
    if words in ([""], ["none"]):
        return []
    wrong = [word for word in words if not _VALUE.fullmatch(word)]
    if wrong:
        raise typer.BadParameter(f"expected numbers or colours as #RRGGBB, found {wrong[0]!r}")
    return [word.upper() if word.startswith("#") else int(word) for word in words]


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _table(made: "Draft") -> Table:
    shown = Table(
        title="what was found", title_justify="left", title_style="bold", header_style="bold"
    )
    for column in ("", "guess", "why"):
        shown.add_column(column, overflow="fold")
    for what, guess, why in made.guesses:
        shown.add_row(
            what,
            *(Text(one if len(one) <= _MOST else f"{one[:_MOST]} ...") for one in (guess, why)),
        )
    return shown
