"""The scenes to label next, as a list and a contact sheet in a folder: written by `suggest`, read by `report`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.settings import Settings

LIST = "suggestions.csv"
SHEET = "suggestions.png"


class Suggestion(Settings):
    """A scene to label.

    Attributes:
        rank: 1 for the first.
        scene: id of the scene.
        image: its image, relative to the data root.
        has_mask: whether the scene has a mask that the config does not use.
        distance: distance to the nearest scene that is labeled or has a better rank; 1 is typical of two scenes' mean.
        nearest: id of that scene.
    """

    rank: int
    scene: str
    image: str
    has_mask: bool
    distance: float
    nearest: str


def write_suggestions(folder: Path, scenes: Sequence[Suggestion]) -> None:
    """Write the list of a folder, in the order of the ranks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(Suggestion.model_fields))
    for scene in scenes:
        row = scene.model_dump(mode="json") | {"distance": f"{scene.distance:.6f}"}
        writer.writerow(row.values())
    with atomic_file(folder / LIST) as file:
        file.write(text.getvalue().encode(errors="surrogateescape"))


def read_suggestions(folder: Path) -> tuple[Suggestion, ...]:
    """Read the list of a folder; empty if there is none.

    Raises:
        RunError: If the file is not a list of `suggest`.
    """
    path = folder / LIST
    if not path.is_file():
        return ()
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
        rows = csv.DictReader(io.StringIO(text), strict=True)
        # From strings, not from Python values: "2" is a rank, and "True" a truth value.
        return tuple(Suggestion.model_validate_strings(row) for row in rows)
    except (csv.Error, ValidationError) as problem:
        raise RunError(
            f"not a list of suggestions: {str(problem).splitlines()[0]}",
            where=path,
            remedy=f"write it again: rsmtdf suggest CONFIG --out {folder}",
        ) from None
