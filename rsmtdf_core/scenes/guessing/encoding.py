"""What the values of masks mean: class indices or colours, and which of them stand for no class.

Values that cannot be classes are refused: numbers of objects, edges that were smoothed, two encodings in one folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing.values import MaskValues, Value
from rsmtdf_core.scenes.manifest import color_rgb

_MOST = 255  # classes
_MOST_COLORS = 64  # more in all masks, and they are no labels but a picture, or were stored lossily
_IGNORE = 255
_RARE = 1e-4  # share of all pixels
_MOST_GAPS = 8  # missing between indices, beside as many as there are classes

_HALF = 128  # a channel below it is 0 and else 255, as `match: threshold` has it
_BLACK, _WHITE = "#000000", "#FFFFFF"
_DARK, _BRIGHT = 64, 191  # up to the one, and above the other, an area counts as black and as white
_DRAWN = (
    0.15  # of a value's pixels lie inside an area of that value; in smoothed edges nearly none do
)
_AREA = 5e-4  # share of all such pixels that makes a value one of areas
_IN_AREAS = 0.3  # share of all pixels, in masks that are drawn in areas at all
_FEWEST_EDGES = 2  # values of smoothed edges; a single one may be a class of thin lines
_MANY_EDGES = 8
_MOST_IN_EDGES = 0.4  # share of all pixels, in masks that were smoothed
_SOME_IN_EDGES = 0.002
_STRAY = 1e-3  # share of the edges' pixels that may become neither black nor white
_MOST_OBJECTS = 12  # numbers that may each be in one piece by chance
_IN_ONE_PIECE = 0.8


@dataclass(frozen=True)
class MaskGuess:
    """How masks encode classes.

    Attributes:
        encoding: as a manifest names it.
        classes: the value of each class, in the order of the class ids; a value that no mask has stands
            for a class that does not occur.
        ignore: values that stand for no class.
        why: the reasons, in words.
        match: how colours become classes, as a manifest names it.
        counts: pixels of each class, by its value.
    """

    encoding: Literal["indices", "colors"]
    classes: tuple[Value, ...]
    ignore: tuple[Value, ...]
    why: str
    match: Literal["exact", "threshold"] = "exact"
    counts: Mapping[Value, int] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        """The value of class 0 in masks of indices."""
        return int(self.classes[0]) if self.encoding == "indices" else 0


def guess_encoding(
    values: MaskValues, ignore: Sequence[Value] | None = None, *, are_classes: bool = False
) -> MaskGuess:
    """What the values most likely mean.

    Args:
        values: what the masks hold.
        ignore: the values that stand for no class, where somebody said so.
        are_classes: whether somebody named the classes, so that many numbers are no numbers of objects.

    Raises:
        DataError: where no class is left, or the values cannot be those of classes.
    """
    if not values.counts:
        raise DataError(
            "no mask has a pixel with data",
            where="the masks",
            remedy="take off the nodata value if it is a class: gdal_edit.py -unsetnodata MASK",
        )
    if values.kind == "indices":
        _refuse_two_encodings(values, ignore)
        _refuse_doubtful_nodata(values, ignore)
        if not are_classes:
            _refuse_objects(values)
    areas, edges = _areas_and_edges(values)
    if (smoothed := _black_and_white(values, areas, edges, ignore)) is not None:
        return smoothed
    if not are_classes:
        _refuse_smoothed(values, areas, edges)
    if values.kind == "colors":
        return _of_colors(values, ignore)
    return _of_numbers(values, ignore)


def _refuse_two_encodings(values: MaskValues, ignore: Sequence[Value] | None) -> None:
    """Refuse masks of 0 and 1 beside masks of 0 and 255."""
    if (
        ignore is not None
        or not values.counts.keys() <= {0, 1, _IGNORE}
        or _IGNORE in values.nodata
    ):
        return
    with_one = [held for held in values.sets if 1 in held]
    with_white = [held for held in values.sets if _IGNORE in held]
    if with_one and with_white and not any(1 in held for held in with_white):
        raise DataError(
            f"some masks hold 0 and 1, such as {values.first.get(1)}, others 0 and 255, such as "
            f"{values.first.get(_IGNORE)}: two encodings, or 255 is no class",
            where="the masks",
            remedy="store all masks in one way; or, if 255 is no class, say --ignore 255",
        )


def _refuse_doubtful_nodata(values: MaskValues, ignore: Sequence[Value] | None) -> None:
    """Refuse a value that some masks name as no data and others hold like any other."""
    doubtful = [value for value in values.nodata if value in values.counts]
    if ignore is None and doubtful:
        raise DataError(
            f"some masks name {doubtful[0]} as no data, others hold it without naming it",
            where=values.first.get(doubtful[0]),
            remedy=f"if it stands for no class in all masks, say --ignore={doubtful[0]}; if not, take it off the "
            "masks that name it: gdal_edit.py -unsetnodata MASK",
        )


def _refuse_objects(values: MaskValues) -> None:
    """Refuse numbers of objects: many, each in one piece, and others in each mask."""
    numbers = len(values.counts)
    if numbers > _MOST_OBJECTS and values.pieces >= _IN_ONE_PIECE and len(set(values.sets)) > 1:
        raise DataError(
            f"the masks hold {numbers} numbers, others in each mask and each in one piece: instance ids, which "
            "count objects, not classes",
            where=values.first.get(max(values.counts, key=int)),
            remedy="export masks with the class of each object instead; if these are classes, name them with --classes",
        )


def _areas_and_edges(values: MaskValues) -> tuple[list[Value], list[Value]]:
    """Values that fill areas, and those that lie along edges alone; none of either where masks have few areas."""
    inside = sum(values.inner.values())
    if inside < _IN_AREAS * sum(values.counts.values()):
        return [], []
    areas: list[Value] = []
    edges: list[Value] = []
    for value, count in values.counts.items():
        inner = values.inner[value]
        (areas if inner >= max(_DRAWN * count, _AREA * inside) else edges).append(value)
    return areas, edges


def _black_and_white(
    values: MaskValues,
    areas: Sequence[Value],
    edges: Sequence[Value],
    ignore: Sequence[Value] | None,
) -> MaskGuess | None:
    """Two classes by threshold, where all areas are black or white and other values lie at their edges."""
    if len(edges) < _FEWEST_EDGES or not (values.kind == "colors" or values.grey):
        return None
    dark = [value for value in areas if max(_rgb(value)) <= _DARK]
    bright = [value for value in areas if min(_rgb(value)) > _BRIGHT]
    if not dark or len(dark) + len(bright) < len(areas):
        return None
    # Thin white lines fill no area.
    if not bright and (
        len(edges) < _MANY_EDGES or max(min(_rgb(value)) for value in edges) <= _BRIGHT
    ):
        return None
    between = any(max(_rgb(value)) > _DARK and min(_rgb(value)) <= _BRIGHT for value in edges)
    if not between and len({_thresholded(value) for value in edges}) < len({_BLACK, _WHITE}):
        return None  # numbers of thin things, say 1 and 2 beside 0 and an ignored 255
    pixels = {_BLACK: 0, _WHITE: 0}
    stray = 0
    for value, count in values.counts.items():
        if (color := _thresholded(value)) in pixels:
            pixels[color] += count
        else:
            stray += count
    in_edges = sum(values.counts[value] for value in edges)
    if stray > _STRAY * in_edges or in_edges > _MOST_IN_EDGES * sum(values.counts.values()):
        return None
    chosen = [_as_color(value) for value in ignore or ()]
    if not set(chosen) <= {_BLACK, _WHITE}:
        return None
    classes = _without([_BLACK, _WHITE], chosen)
    kind = "colours" if values.kind == "colors" else "grey values"
    return MaskGuess(
        "colors",
        tuple(classes),
        tuple(chosen),
        f"{len(values.counts)} {kind}, but all areas are black or white: smoothed edges, parted at 128",
        match="threshold",
        counts={color: pixels[str(color)] for color in classes},
    )


def _refuse_smoothed(values: MaskValues, areas: Sequence[Value], edges: Sequence[Value]) -> None:
    """Refuse masks in which many values lie along edges alone."""
    in_edges = sum(values.counts[value] for value in edges)
    many = len(edges) >= _MANY_EDGES and len(edges) > len(areas)
    if many and in_edges > _SOME_IN_EDGES * sum(values.counts.values()):
        raise DataError(
            f"{len(edges)} of the {len(values.counts)} values in the masks lie along edges alone, such as "
            f"{_listed(edges[:3])}: smoothed edges, as resizing and JPEG leave them",
            where=values.first.get(edges[0]),
            remedy="export the masks again as PNG, resized without interpolation (nearest); if these are classes, "
            "name them with --classes",
        )


def _of_numbers(values: MaskValues, ignore: Sequence[Value] | None) -> MaskGuess:
    numbers = [int(value) for value in values.counts]
    chosen = [value for value in values.nodata if value not in values.counts]
    guessed = _ignored_numbers(numbers) if ignore is None else [int(value) for value in ignore]
    chosen += [value for value in guessed if value not in chosen]
    classes = [int(value) for value in _without(numbers, chosen)]
    low, high = min(classes), max(classes)
    gaps = high - low + 1 - len(classes)
    if values.nodata and low == high and ignore is None:
        raise DataError(
            f"the files name {_listed(values.nodata)} as no data, and apart from that the masks hold one value, {low}",
            where=values.first.get(low),
            remedy=f"if {_listed(values.nodata)} is a class, take the nodata value off each mask: "
            f"gdal_edit.py -unsetnodata MASK; if not, say --ignore {_listed(values.nodata)}",
        )
    if gaps <= len(classes) + _MOST_GAPS and high - low < _MOST:
        why = f"one band with the values {_listed(numbers)}"
        why += (
            "; all masks hold this one alone, so there is nothing to learn" if low == high else ""
        )
        why += f"; {gaps} between them never occur" if gaps else ""
        why += f"; {_listed(chosen)} is ignored" if chosen else ""
        why += f", the files' own nodata value: {_listed(values.nodata)}" if values.nodata else ""
        why += "; if 0 means no data, say --ignore 0" if low == 0 and len(classes) > 2 else ""
        counts: dict[Value, int] = {value: values.counts[value] for value in classes}
        return MaskGuess("indices", tuple(range(low, high + 1)), tuple(chosen), why, counts=counts)
    if not values.grey:
        raise DataError(
            f"masks hold the values {_listed(numbers)}, too far apart for class ids",
            where=values.first.get(high),
            remedy=f"name values that stand for no class, say --ignore={low if low < 0 else high}, or store the "
            "classes as 0, 1, 2 ... in 8 bits",
        )
    grey = replace(
        values, counts={_as_color(number): values.counts[number] for number in numbers}, first={}
    )
    dropped = None if ignore is None and not values.nodata else [_as_color(one) for one in chosen]
    guess = _of_colors(grey, dropped)
    why = f"grey values {_listed(numbers)}, too far apart for class ids: told as grey colours"
    return replace(guess, why=why)


def _ignored_numbers(numbers: Sequence[int]) -> list[int]:
    """255 where at least two lower values are there: with one alone, both are classes."""
    return [_IGNORE] if _IGNORE in numbers and len(numbers) > 2 and numbers[-2] < 128 else []


def _of_colors(values: MaskValues, ignore: Sequence[Value] | None) -> MaskGuess:
    counts = values.counts
    colors = list(counts)
    if len(colors) > _MOST_COLORS:
        raise DataError(
            f"the masks hold {len(colors)} different colours: no labels, or labels that were stored lossily, as "
            "JPEG does",
            where=values.first.get(colors[_MOST_COLORS], "the masks"),
            remedy="export the masks as PNG, without smoothing",
        )
    total = sum(counts.values())
    why = [f"{len(colors)} colours"]
    if ignore is None:
        rare = [one for one in colors if counts[one] < _RARE * total]
        black = [one for one in colors if one == _BLACK and len(colors) - len(rare) > 3]
        chosen = list(dict.fromkeys([*black, *(rare if len(rare) < len(colors) else [])]))
        why += ["black beside three others or more is mostly no class"] if black else []
        why += [f"ignored, under 0.01 % of the pixels: {_listed(rare)}"] if rare else []
    else:
        chosen = list(ignore)
        why += [f"{_listed(chosen)} is ignored"] if chosen else []
    classes = _without(colors, chosen)
    return MaskGuess(
        "colors",
        tuple(classes),
        tuple(chosen),
        "; ".join(why),
        counts={color: counts[color] for color in classes},
    )


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


def _rgb(value: Value) -> tuple[int, int, int]:
    return (value, value, value) if isinstance(value, int) else color_rgb(value)


def _as_color(value: Value) -> Value:
    """A grey number as a colour.

    Raises:
        DataError: it is no grey.
    """
    if not isinstance(value, int):
        return value
    if not 0 <= value <= 255:
        raise DataError(
            f"{value} is no grey value, and the masks hold greys from 0 to 255",
            where="--ignore",
            remedy="name values that the masks hold",
        )
    return f"#{value:02X}{value:02X}{value:02X}"


def _thresholded(value: Value) -> str:
    """The colour that `match: threshold` sees."""
    return "#" + "".join("FF" if channel >= _HALF else "00" for channel in _rgb(value))
