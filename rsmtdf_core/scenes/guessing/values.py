"""Count the values of masks and how they are distributed: in areas, along edges, or each in a single piece."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.find import in_threads
from rsmtdf_core.scenes.images import ImageFile, Valid, open_image
from rsmtdf_core.scenes.images.labels import (
    holds_colors,
    holds_grays,
    holds_numbers,
    read_colors,
    read_numbers,
)

_MOST_NUMBERS = 2**16
_MOST_COLORS = 2**12
_STRIP_PIXELS = 2**21  # counted at a time, as counting takes many times the memory of a mask
_LARGEST_TABLE = 2**24  # entries
_PACKING = np.array([2**16, 2**8, 1], np.int32)  # packs red, green and blue into a number

Value = int | str
"""A class index, or a color "#RRGGBB"."""


@dataclass(frozen=True)
class MaskValues:
    """The values of all masks together; pixels without data are left out.

    Attributes:
        kind: whether the values are numbers or colors.
        counts: number of pixels of each value, in the order of the values.
        gray: whether numbers may be read as gray colors: masks of one band and up to 8 bits.
        nodata: the nodata values that the files declare, sorted.
        inner: number of pixels of each value whose four neighbors have it too; empty if not counted.
        sets: the values of each mask; empty if not collected.
        pieces: share of all (mask, value) that are one piece without a hole, excluding each mask's most frequent
            value; 0 to 1.
        first: the first mask that holds a value, by value, for messages.
    """

    kind: Literal["indices", "colors"]
    counts: dict[Value, int]
    gray: bool = False
    nodata: tuple[int, ...] = ()
    inner: Mapping[Value, int] = field(default_factory=dict)
    sets: tuple[frozenset[Value], ...] = ()
    pieces: float = 0.0
    first: Mapping[Value, Path] = field(default_factory=dict, compare=False)


@dataclass
class _Tally:
    """Counts of a mask, or of all masks, by code: a number, or a color as 0xRRGGBB.

    Attributes:
        counts: number of pixels.
        inner: number of pixels whose four neighbors have the same code.
        pieces: number of connected pieces minus holes, in one mask.
        gray: as in `MaskValues`.
        nodata: as in `MaskValues`.
        first: the first mask that has a code.
        sets: the codes of each mask.
        single: number of (mask, code) that are one piece without a hole, excluding backgrounds.
        held: number of (mask, code), excluding backgrounds.
    """

    counts: Counter[int] = field(default_factory=Counter)
    inner: Counter[int] = field(default_factory=Counter)
    pieces: Counter[int] = field(default_factory=Counter)
    gray: bool = True
    nodata: set[int] = field(default_factory=set)
    first: dict[int, Path] = field(default_factory=dict)
    sets: list[frozenset[int]] = field(default_factory=list)
    single: int = 0
    held: int = 0

    def add(self, mask: "_Tally", path: Path) -> None:
        """Add the counts of a mask."""
        self.counts.update(mask.counts)
        self.inner.update(mask.inner)
        self.gray &= mask.gray
        self.nodata |= mask.nodata
        self.first = dict.fromkeys(mask.counts, path) | self.first
        self.sets.append(frozenset(mask.counts))
        if mask.counts:
            background, _ = mask.counts.most_common(1)[0]
            others = [pieces for code, pieces in mask.pieces.items() if code != background]
            self.single += others.count(1)
            self.held += len(others)

    def add_rows(self, codes: npt.NDArray[np.integer], valid: Valid | None, *, above: bool) -> None:
        """Add rows of codes [H, W] of a mask, from the top downward.

        Pieces are counted by Euler's formula: pixels minus pairs of equal neighbors plus squares of four equal pixels.

        Args:
            codes: the rows.
            valid: where they have data, bool [H, W]; None: everywhere.
            above: whether the first row was added already and is only the neighbor of the second.
        """
        distinct, indices = _indexed(codes)
        if valid is not None:
            indices[~valid] = len(distinct)
        vertical, horizontal = indices[1:] == indices[:-1], indices[:, 1:] == indices[:, :-1]
        inner = np.ones(indices.shape, bool)
        inner[1:] &= vertical
        inner[:-1] &= vertical
        inner[:, 1:] &= horizontal
        inner[:, :-1] &= horizontal
        squares = horizontal[1:] & horizontal[:-1] & vertical[:, 1:]
        new = slice(int(above), None)

        def counted(some: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
            return np.bincount(some.ravel(), minlength=len(distinct) + 1)[: len(distinct)]

        counts = counted(indices[new])
        pairs = counted(indices[1:][vertical]) + counted(indices[new, 1:][horizontal[new]])
        pieces = counts - pairs + counted(indices[1:, 1:][squares])
        present = counts > 0
        codes_present = distinct[present].tolist()
        for tally, values in (
            (self.counts, counts),
            (self.inner, counted(indices[new][inner[new]])),
            (self.pieces, pieces),
        ):
            tally.update(dict(zip(codes_present, values[present].tolist(), strict=True)))


def count_values(
    root: Path, masks: Sequence[str], on_mask: Callable[[], None] = lambda: None
) -> MaskValues:
    """Count the pixels of each value in masks.

    Args:
        root: the data root.
        masks: posix paths relative to it, at least one.
        on_mask: called after each mask, in the caller's thread.

    Raises:
        MissingFileError, DataError: If a mask is unreadable, of another kind than the others, or has too many values
            for a mask.
    """
    # A palette has both numbers and colors; one mask in colors without a palette decides for all.
    colors = any(in_threads(lambda mask: _in_colors_alone(root / mask), masks))
    most = _MOST_COLORS if colors else _MOST_NUMBERS
    total = _Tally()
    tallies = in_threads(lambda mask: _tally(root / mask, colors=colors), masks, cpu_count())
    for mask, tally in zip(masks, tallies, strict=True):
        total.add(tally, root / mask)
        if len(total.counts) > most:
            raise DataError(
                f"the masks hold more than {most:,} different {'colors' if colors else 'values'}: "
                "not labels, or labels in a lossy format such as JPEG",
                where=root / mask,
                remedy="export the masks as PNG, without smoothing",
            )
        on_mask()
    name: Callable[[int], Value] = _color if colors else int
    return MaskValues(
        kind="colors" if colors else "indices",
        counts={name(code): total.counts[code] for code in sorted(total.counts)},
        gray=total.gray and not colors,
        nodata=tuple(sorted(total.nodata)),
        inner={name(code): total.inner[code] for code in total.counts},
        sets=tuple(frozenset(map(name, codes)) for codes in total.sets),
        pieces=total.single / max(1, total.held),
        first={name(code): path for code, path in total.first.items()},
    )


def _in_colors_alone(path: Path) -> bool:
    with open_image(path) as image:
        return holds_colors(image) and not holds_numbers(image)


def _tally(path: Path, *, colors: bool) -> _Tally:
    with open_image(path) as image:
        if not (holds_colors if colors else holds_numbers)(image):
            expected = "colors, like others" if colors else "one band of class indices"
            raise DataError(
                f"expected a mask with {expected}, found {image.describe()}",
                where=path,
                remedy="export all masks in the same form, as 8-bit PNG with one band or as RGB",
            )
        tally = _Tally(gray=holds_grays(image), nodata=set() if colors else _nodata(image))
        read = read_colors if colors else read_numbers
        whole = None if image.by_parts else read(image)
        rows = max(1, _STRIP_PIXELS // image.width)
        for top in range(0, image.height, rows):
            start, stop = max(0, top - 1), min(top + rows, image.height)
            if whole is None:
                values, valid = read(image, (start, 0, stop - start, image.width))
            else:
                values, valid = (
                    whole[0][start:stop],
                    whole[1] if whole[1] is None else whole[1][start:stop],
                )
            codes = values.astype(np.int32) @ _PACKING if colors else values
            tally.add_rows(codes, valid, above=top > 0)
    return tally


def _nodata(image: ImageFile) -> set[int]:
    """The nodata value of a mask of numbers, if its dtype can hold it."""
    value, dtype = image.nodata[0], image.dtypes[0]
    if value is None or not float(value).is_integer():
        return set()
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return set()
    return {int(value)}


def _indexed(
    codes: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Return the distinct codes [N], sorted, and the index of each pixel's code among them, shaped like `codes`."""
    if codes.dtype == np.uint8:
        return np.arange(256), codes.astype(np.int32)
    distinct = np.unique(codes)
    low, high = int(distinct[0]), int(distinct[-1])
    if high - low >= _LARGEST_TABLE:
        return distinct, np.searchsorted(distinct, codes)
    # A lookup is ten times faster than sorting.
    table = np.empty(high - low + 1, np.int32)
    table[distinct.astype(np.int64) - low] = np.arange(len(distinct))
    return distinct, table[codes.astype(np.int64) - low]


def _color(code: int) -> str:
    return f"#{code:06X}"
