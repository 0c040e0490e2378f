"""The labels of a file as geometries with classes, before they are placed on an image (tests: test_vector.py)."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError, UnknownValuesError
from rsmtdf_core.scenes.images.frame import Crs
from rsmtdf_core.scenes.shapes import GEO
from rsmtdf_core.words import counted, shortened

Geometries = npt.NDArray[np.object_]
"""Shapely geometries [N]; those in features are single polygons, lines or points."""

Geometry: TypeAlias = Any
"""A geometry of shapely, which has no types."""

_MOST = 8  # values in a message
_POLYGON = 3  # shapely's number of the type; higher ones are collections


UNOUTLINED = "\0box"
"""The value of shapes whose outline is unknown, so that their pixels are ignored."""


@dataclass(frozen=True, slots=True)
class Note:
    """A fact about shapes that are not used as they are in their file.

    Attributes:
        text: a sentence, which may have {count} for the number of shapes with their noun, and {example}.
        count: the number of shapes.
        noun: the word for one of them.
        example: the name of the first one.
    """

    text: str
    count: int = 0
    noun: str = "feature"
    example: str = ""

    def sentence(self, count: int | None = None) -> str:
        """Return the sentence; `count` replaces the number of shapes, as of several files."""
        number = self.count if count is None else count
        return self.text.format(count=counted(number, self.noun), example=self.example)


@dataclass(frozen=True, eq=False)
class Layer:
    """The features of a layer.

    Attributes:
        geometries: single polygons, lines and points [N], valid and not empty.
        values: the value of the class field of each geometry, as text [N]; "" for a missing one.
        crs: rasterio's coordinate reference system; None for coordinates in the pixels of an image.
        digest: sha256 of everything that decides the pixels of the labels.
        notes: facts about features that are not used as they are in the file.
    """

    geometries: Geometries
    values: npt.NDArray[np.str_]
    crs: Crs
    digest: str
    notes: tuple[Note, ...] = ()


def digest_of(geometries: Geometries, values: Sequence[str], system: str) -> str:
    """Return the sha256 of geometries [N] with their values [N], and of the text of their coordinate system."""
    import shapely

    digest = hashlib.sha256(system.encode())
    for part, value in zip(shapely.to_wkb(geometries), values, strict=True):
        digest.update(b"%d %d " % (len(part), len(value.encode())) + part + value.encode())
    return digest.hexdigest()


def require_geo(path: Path, *packages: str) -> None:
    """Refuse labels if the libraries for geometries are not installed.

    Args:
        path: the file of the labels.
        packages: the libraries.

    Raises:
        DataError: If so, with the command that installs them.
    """
    try:
        for package in packages:
            import_module(package)
    except ImportError as missing:
        raise DataError(
            f"labels drawn as geometries need the package {missing.name}", where=path, remedy=GEO
        ) from None


def clean(
    geometries: Geometries, values: Sequence[str], names: Sequence[str], noun: str = "feature"
) -> tuple[Geometries, npt.NDArray[np.str_], tuple[Note, ...]]:
    """Split geometries into single polygons, lines and points, and repair invalid polygons as QGIS's Fix geometries.

    Args:
        geometries: geometries of any type [N]; None without one.
        values: the value of each feature.
        names: the name of each feature for messages.
        noun: the word for a feature.

    Returns:
        The parts, their values, and notes on features without a geometry and repaired ones.
    """
    import shapely

    notes = []
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    if empty.any():
        first = names[int(empty.argmax())]
        notes.append(
            Note("no geometry in {count}, such as {example}", int(empty.sum()), noun, first)
        )
    invalid = ~empty & ~shapely.is_valid(geometries)
    if invalid.any():
        number = int(invalid.argmax())
        why = shortened(str(shapely.is_valid_reason(geometries[number])), 80)
        text = (
            "{count} repaired, such as {example}: look at the pictures of `rsmtdf data check --out`"
        )
        total = int(invalid.sum())
        notes.append(Note(text, total, f"invalid {noun}", f"{names[number]} ({why})"))
        geometries = np.where(invalid, shapely.make_valid(geometries), geometries)
    parts, index = _single(geometries)
    # Repairs leave lines where a polygon overlaps itself.
    kept = ~(invalid[index] & (shapely.get_dimensions(parts) < 2)) & ~shapely.is_empty(parts)
    return parts[kept], np.array(values, np.str_)[index[kept]], tuple(notes)


def _single(geometries: Geometries) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Return single geometries and the index of the geometry that each is part of; collections may be nested."""
    import shapely

    index = np.arange(len(geometries))
    while True:
        geometries, inner = shapely.get_parts(geometries, return_index=True)
        index = index[inner]
        if not (shapely.get_type_id(geometries) > _POLYGON).any():
            return geometries, index


def require_known(counts: Mapping[str, int], known: Collection[str], path: Path, noun: str) -> None:
    """Refuse values that no class has.

    Args:
        counts: number of geometries of each value.
        known: the values with a class, and those that are ignored.
        path: the file of the labels.
        noun: the word for the values.

    Raises:
        UnknownValuesError: If there are any, with their numbers of geometries.
    """
    unknown = Counter({value: count for value, count in counts.items() if value not in known})
    if not unknown:
        return
    listed = [
        f"'{shortened(value, 40)}' ({count})" if value else f"no value ({count})"
        for value, count in unknown.most_common(_MOST)
    ]
    more = f" and {len(unknown) - _MOST} more" if len(unknown) > _MOST else ""
    raise UnknownValuesError(
        f"no class has these {noun}: {', '.join(listed)}{more}",
        list(unknown),
        where=path,
        remedy="add them under mask_encoding.values (VALUE: CLASS) or mask_encoding.ignore in the manifest; "
        '"" is a missing value',
    )
