"""Which values masks hold, and how they lie in them: in areas, along edges, or each in a single piece."""

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
    holds_greys,
    holds_numbers,
    read_colors,
    read_numbers,
)

_MOST_NUMBERS = 2**16
_MOST_COLORS = 2**12
_STRIP_PIXELS = (
    2**21
)  # that are counted at a time, as counting takes many times the memory of a mask
_LARGEST_TABLE = 2**24  # entries
_PACKING = np.array([2**16, 2**8, 1], np.int32)  # makes a number of red, green and blue

Value = int | str
"""A class index, or a colour "#RRGGBB"."""


@dataclass(frozen=True)
class MaskValues:
    """What all masks hold together; pixels without data are left out.

    Attributes:
        kind: whether their values are numbers or colours.
        counts: pixels of each value, in the order of the values.
        grey: whether numbers may be read as grey colours: masks of one band and up to 8 bits.
        nodata: the values that the files themselves name as no data, in order.
        inner: pixels of each value whose four neighbours have it too; empty where nobody counted.
        sets: the values of each mask; empty where nobody looked.
        pieces: of all (mask, value), the value that fills most of a mask left out, the share that is one piece
            without a hole.
        first: the first mask that holds a value, by value, for messages.
    """

    kind: Literal["indices", "colors"]
    counts: dict[Value, int]
    grey: bool = False
    nodata: tuple[int, ...] = ()
    inner: Mapping[Value, int] = field(default_factory=dict)
    sets: tuple[frozenset[Value], ...] = ()
    pieces: float = 0.0
    first: Mapping[Value, Path] = field(default_factory=dict, compare=False)


@dataclass
class _Tally:
    """What one mask holds, or all together, by code: a number, or a colour as 0xRRGGBB.

    Attributes:
        counts: pixels.
        inner: those whose four neighbours have the same code.
        pieces: connected pieces, less their holes; of one mask.
        grey: as for `MaskValues`.
        nodata: as for `MaskValues`.
        first: the first mask that has a code.
        sets: the codes of each mask.
        single: how often a code, but for that of the background, was one piece without a hole.
        held: how often such a code was in a mask.
    """

    counts: Counter[int] = field(default_factory=Counter)
    inner: Counter[int] = field(default_factory=Counter)
    pieces: Counter[int] = field(default_factory=Counter)
    grey: bool = True
    nodata: set[int] = field(default_factory=set)
    first: dict[int, Path] = field(default_factory=dict)
    sets: list[frozenset[int]] = field(default_factory=list)
    single: int = 0
    held: int = 0

    def add(self, mask: "_Tally", path: Path) -> None:
        """Take in a mask."""
        self.counts.update(mask.counts)
        self.inner.update(mask.inner)
        self.grey &= mask.grey
        self.nodata |= mask.nodata
        self.first = dict.fromkeys(mask.counts, path) | self.first
        self.sets.append(frozenset(mask.counts))
        if mask.counts:
            background, _ = mask.counts.most_common(1)[0]
            others = [pieces for code, pieces in mask.pieces.items() if code != background]
            self.single += others.count(1)
            self.held += len(others)

    def add_rows(self, codes: npt.NDArray[np.integer], valid: Valid | None, *, above: bool) -> None:
        """Take in rows of codes [H, W] of one mask, from the top downward.

        Pieces are counted by Euler's formula: pixels less pairs of equal neighbours plus squares of four equal ones.

        Args:
            codes: the rows.
            valid: where they have data; None: everywhere.
            above: whether the first row was taken in already and is here as the neighbour of the second.
        """
        found, places = _places(codes)
        if valid is not None:
            places[~valid] = len(found)
        below, beside = places[1:] == places[:-1], places[:, 1:] == places[:, :-1]
        inner = np.ones(places.shape, bool)
        inner[1:] &= below
        inner[:-1] &= below
        inner[:, 1:] &= beside
        inner[:, :-1] &= beside
        squares = beside[1:] & beside[:-1] & below[:, 1:]
        new = slice(int(above), None)

        def counted(some: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
            return np.bincount(some.ravel(), minlength=len(found) + 1)[: len(found)]

        counts = counted(places[new])
        pairs = counted(places[1:][below]) + counted(places[new, 1:][beside[new]])
        pieces = counts - pairs + counted(places[1:, 1:][squares])
        there = counts > 0
        for tally, values in (
            (self.counts, counts),
            (self.inner, counted(places[new][inner[new]])),
            (self.pieces, pieces),
        ):
            tally.update(dict(zip(found[there].tolist(), values[there].tolist(), strict=True)))


def count_values(
    root: Path, masks: Sequence[str], on_mask: Callable[[], None] = lambda: None
) -> MaskValues:
    """Count the pixels of each value in masks.

    Args:
        root: the data root.
        masks: posix paths relative to it, at least one.
        on_mask: called after each, in the caller's thread.

    Raises:
        MissingFileError, DataError: a mask is unreadable, of another kind than the others, or holds so many
            values that it is no mask.
    """
    # A palette has both; one mask without tells what all are.
    colors = any(in_threads(lambda mask: _in_colors_alone(root / mask), masks))
    most = _MOST_COLORS if colors else _MOST_NUMBERS
    total = _Tally()
    tallies = in_threads(lambda mask: _tally(root / mask, colors=colors), masks, cpu_count())
    for mask, tally in zip(masks, tallies, strict=True):
        total.add(tally, root / mask)
        if len(total.counts) > most:
            raise DataError(
                f"the masks hold more than {most:,} different {'colours' if colors else 'values'}: "
                "no labels, or labels that were stored lossily, as JPEG does",
                where=root / mask,
                remedy="export the masks as PNG, without smoothing",
            )
        on_mask()
    name: Callable[[int], Value] = _color if colors else int
    return MaskValues(
        kind="colors" if colors else "indices",
        counts={name(code): total.counts[code] for code in sorted(total.counts)},
        grey=total.grey and not colors,
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
            expected = "colours, as others do" if colors else "one band of class indices"
            raise DataError(
                f"expected a mask with {expected}, found {image.describe()}",
                where=path,
                remedy="export all masks in one way, as PNG of 8 bits with one band or as RGB",
            )
        tally = _Tally(grey=holds_greys(image), nodata=set() if colors else _nodata(image))
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
    """The nodata value of a mask of numbers, where a pixel can have it."""
    value, dtype = image.nodata[0], image.dtypes[0]
    if value is None or not float(value).is_integer():
        return set()
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return set()
    return {int(value)}


def _places(
    codes: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """The different codes [N] in their order, and the place of each pixel's code among them, shaped like `codes`."""
    if codes.dtype == np.uint8:
        return np.arange(256), codes.astype(np.int32)
    found = np.unique(codes)
    low, high = int(found[0]), int(found[-1])
    if high - low >= _LARGEST_TABLE:
        return found, np.searchsorted(found, codes)
    # Looked up rather than sorted, which takes ten times longer.
    table = np.empty(high - low + 1, np.int32)
    table[found.astype(np.int64) - low] = np.arange(len(found))
    return found, table[codes.astype(np.int64) - low]


def _color(code: int) -> str:
    return f"#{code:06X}"
