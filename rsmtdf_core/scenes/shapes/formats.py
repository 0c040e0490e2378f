"""The formats of annotation tools, and their files (tests: test_formats.py).

A format is a module with a `Document`, the parts of a JSON file that matter, and `interpret`, which returns its labels.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.shapes import coco, labelme
from rsmtdf_core.scenes.shapes.annotations import AnnotationFile
from rsmtdf_core.scenes.shapes.vector import Stamp, stamp

_START = 64  # bytes that show whether a file may be JSON


@dataclass(frozen=True)
class Format:
    """A format of an annotation tool.

    Attributes:
        title: its name for people.
        keys: keys at the top of its files, which tell them from other JSON.
        document: the parts of a file.
        interpret: returns the labels of the parts.
    """

    title: str
    keys: frozenset[str]
    document: type[BaseModel]
    interpret: Callable[[Any, Path], AnnotationFile]


FORMATS = {
    "coco": Format(
        "COCO instances",
        frozenset({"images", "annotations", "categories"}),
        coco.Document,
        coco.interpret,
    ),
    "labelme": Format(
        "LabelMe", frozenset({"shapes", "imagePath"}), labelme.Document, labelme.interpret
    ),
}
"""The formats by their names in a manifest, those of `AnnotationMasks.encoding`."""


def read_annotations(path: Path, encoding: str) -> AnnotationFile:
    """Read a file; recent ones are cached until they change.

    Args:
        path: the file.
        encoding: the name of its format in a manifest.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If it is of another format or damaged.
    """
    return _read(path, stamp(path), encoding)


@lru_cache(maxsize=16)
def _read(path: Path, stamped: Stamp, encoding: str) -> AnnotationFile:  # noqa: ARG001 - part of the cache's key
    form = FORMATS[encoding]
    try:
        document = form.document.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise MissingFileError("the labels are missing", where=path) from None
    except OSError as error:
        raise DataError(f"the labels cannot be read: {error.strerror}", where=path) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"this is no {form.title} file: {f'{place}: ' if place else ''}{first['msg']}",
            where=path,
            remedy="export the labels again, or correct mask_encoding.encoding in the manifest "
            f"({', '.join(FORMATS)}, or shapes for GeoJSON)",
        ) from None
    return form.interpret(document, path)


def recognized(path: Path) -> str | None:
    """Return the name of the format of a file; None if it is of another kind or cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(_START).lstrip()[:1] != b"{":
                return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return next((name for name, form in FORMATS.items() if form.keys <= set(document)), None)
