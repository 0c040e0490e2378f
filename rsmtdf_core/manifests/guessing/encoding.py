"""What the values of masks mean: class indices or colours, and which of them stand for no class."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.images.file import open_image
from rsmtdf_core.images.labels import holds_colors, holds_numbers, read_colors, read_numbers
from rsmtdf_core.manifests.scenes import in_threads

_MOST = 255  # classes
_MOST_COLORS = 64  # more in all masks, and they are no labels but a picture, or were stored lossily
_IGNORE = 255
_RARE = 1e-4  # share of all pixels
_MOST_GAPS = 8  # missing between indices, beside as many as there are classes

Value = int | str
"""A class index, or a colour "#RRGGBB"."""


@dataclass(frozen=True)
class MaskValues:
    """What all masks hold together.

    Attributes:
        kind: whether their values are numbers or colours.
        counts: pixels of each value, in the order of the values.
        grey: whether numbers may be read as grey colours: masks of 8 bits.
        first: the first mask that holds a value, by value, for messages.
    """

    kind: Literal["indices", "colors"]
    counts: dict[Value, int]
    grey: bool = False
    first: Mapping[Value, Path] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class MaskGuess:
    """How masks encode classes.

    Attributes:
        encoding: as a manifest names it.
        classes: the value of each class, in the order of the class ids; a value that no mask has stands
            for a class that does not occur.
        ignore: values that stand for no class.
        why: the reasons, in words.
    """

    encoding: Literal["indices", "colors"]
    classes: tuple[Value, ...]
    ignore: tuple[Value, ...]
    why: str

    @property
    def offset(self) -> int:
        """The value of class 0 in masks of indices."""
        return int(self.classes[0]) if self.encoding == "indices" else 0


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
    colors = any(in_threads(lambda one: _has_colors_alone(root / one), masks))
    total: Counter[int] = Counter()
    first: dict[int, Path] = {}
    grey = True
    read = in_threads(lambda one: _read(root / one, colors=colors), masks)
    for path, (values, eight_bits) in zip(masks, read, strict=True):
        grey &= eight_bits
        codes = values.astype(np.int64) @ (65536, 256, 1) if colors else values
        found, counts = np.unique(codes, return_counts=True)
        total.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        first = dict.fromkeys(found.tolist(), root / path) | first
        most = _MOST_COLORS if colors else _MOST + 1
        if len(total) > most:
            raise DataError(
                f"the masks hold more than {most} different {'colours' if colors else 'values'}: "
                "no labels, or labels that were stored lossily, as JPEG does",
                where=root / path,
                remedy="export the masks as PNG, without smoothing",
            )
        on_mask()
    name: Callable[[int], Value] = _color if colors else int
    return MaskValues(
        "colors" if colors else "indices",
        {name(code): total[code] for code in sorted(total)},
        grey and not colors,
        {name(code): path for code, path in first.items()},
    )


def _has_colors_alone(path: Path) -> bool:
    with open_image(path) as image:
        return not holds_numbers(image)


def _read(path: Path, *, colors: bool) -> tuple[npt.NDArray[np.integer[Any]], bool]:
    """A mask's values without those that its file leaves out, [N] or [N, 3], and whether they have 8 bits."""
    with open_image(path) as image:
        if not (holds_colors(image) if colors else holds_numbers(image)):
            raise DataError(
                f"expected a mask with {'colours' if colors else 'one band of class indices'}, as others, "
                f"found {image.describe()}",
                where=path,
                remedy="export all masks in one way, as PNG of 8 bits with one band or as RGB",
            )
        values, valid = read_colors(image) if colors else read_numbers(image)
        eight_bits = values.dtype == np.uint8
    if valid is not None:
        return values[valid], eight_bits
    return values.reshape(-1, 3) if colors else values.ravel(), eight_bits


def guess_encoding(found: MaskValues, ignore: Sequence[Value] | None = None) -> MaskGuess:
    """What the values most likely mean.

    Args:
        found: what the masks hold.
        ignore: the values that stand for no class, where somebody said so.

    Raises:
        DataError: where no class is left, or the numbers cannot be class ids.
    """
    if found.kind == "colors":
        return _of_colors(found.counts, ignore)
    numbers = [int(value) for value in found.counts]
    chosen = _ignored_numbers(numbers) if ignore is None else [int(one) for one in ignore]
    classes = [int(one) for one in _without(numbers, chosen)]
    low, high = min(classes), max(classes)
    gaps = high - low + 1 - len(classes)
    if gaps <= len(classes) + _MOST_GAPS and high - low < _MOST:
        why = f"one band with the values {_listed(numbers)}"
        why += f"; {gaps} between them never occur" if gaps else ""
        why += f"; {_listed(chosen)} is ignored" if chosen else ""
        why += "; if 0 means no data, say --ignore 0" if low == 0 and len(classes) > 2 else ""
        return MaskGuess("indices", tuple(range(low, high + 1)), tuple(chosen), why)
    if not found.grey:
        raise DataError(
            f"masks hold the values {_listed(numbers)}, too far apart for class ids",
            where=found.first.get(high),
            remedy="store them as 0, 1, 2 ... in 8 bits",
        )
    grey: dict[Value, int] = {_color(number * 0x010101): found.counts[number] for number in numbers}
    dropped = None if ignore is None else [_color(one * 0x010101) for one in chosen]
    guess = _of_colors(grey, dropped)
    why = f"grey values {_listed(numbers)}, too far apart for class ids: told as grey colours"
    return MaskGuess("colors", guess.classes, guess.ignore, why)


def _ignored_numbers(numbers: Sequence[int]) -> list[int]:
    """255 where at least two lower values are there: with one alone, both are classes."""
    return [_IGNORE] if _IGNORE in numbers and len(numbers) > 2 and numbers[-2] < 128 else []


def _of_colors(counts: dict[Value, int], ignore: Sequence[Value] | None) -> MaskGuess:
    colors = list(counts)
    total = sum(counts.values())
    why = [f"{len(colors)} colours"]
    if ignore is None:
        rare = [one for one in colors if counts[one] < _RARE * total]
        black = [one for one in colors if one == "#000000" and len(colors) - len(rare) > 3]
        chosen = list(dict.fromkeys([*black, *(rare if len(rare) < len(colors) else [])]))
        why += ["black beside three others or more is mostly no class"] if black else []
        why += [f"ignored, under 0.01 % of the pixels: {_listed(rare)}"] if rare else []
    else:
        chosen = list(ignore)
        why += [f"{_listed(chosen)} is ignored"] if chosen else []
    return MaskGuess("colors", tuple(_without(colors, chosen)), tuple(chosen), "; ".join(why))


def _without(values: Sequence[Value], ignore: Sequence[Value]) -> list[Value]:
    left = [one for one in values if one not in ignore]
    if not left:
        raise DataError(
            f"no class is left: the masks hold {_listed(values)}, and all of it is ignored",
            where="--ignore",
            remedy="name fewer values with --ignore",
        )
    return left


def _listed(values: Sequence[Value]) -> str:
    shown = ", ".join(map(str, values[:12]))
    return f"{shown} and {len(values) - 12} more" if len(values) > 12 else shown


def _color(code: int) -> str:
    return f"#{code:06X}"
