"""Interpret the values of masks as class indices or colors, and guess which of them have no class.

Values that cannot be classes are refused: object numbers, smoothed edges, and two encodings in one folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing.values import MaskValues, Value
from rsmtdf_core.scenes.pixel_masks import color_rgb

_MOST = 255  # classes
_MOST_COLORS = 64  # masks with more colors are pictures, or labels in a lossy format
_IGNORE = 255
_RARE = 1e-4  # share of all pixels
_MOST_GAPS = 8  # missing indices, in addition to the number of classes

_HALF = 128  # `match: threshold` turns lower channels to 0 and others to 255
_BLACK, _WHITE = "#000000", "#FFFFFF"
_DARK, _BRIGHT = 64, 191  # an area counts as black up to the first, and as white above the second
_DRAWN = (
    0.15  # share of a value's pixels inside an area of that value; nearly none in smoothed edges
)
_AREA = 5e-4  # share of all such pixels from which a value counts as an area
_IN_AREAS = 0.3  # share of all pixels inside areas, in masks that have areas
_FEWEST_EDGES = 2  # values of smoothed edges; a single value may be a class of thin lines
_MANY_EDGES = 8
_MOST_IN_EDGES = 0.4  # share of all pixels, in masks that were smoothed
_SOME_IN_EDGES = 0.002
_STRAY = 1e-3  # share of the edges' pixels that may become neither black nor white
_MOST_OBJECTS = 12  # numbers that may happen to be in one piece each
_IN_ONE_PIECE = 0.8


@dataclass(frozen=True)
class MaskGuess:
    """The encoding of classes in masks.

    Attributes:
        encoding: the name of the encoding in a manifest.
        classes: the value of each class, in the order of the class ids; values that no mask holds are classes that
            do not occur.
        ignore: values without a class.
        why: the reasons, as text.
        match: the rule that maps colors to classes, as named in a manifest.
        counts: number of pixels of each class, by its value.
        values: the class of each value, if they were named instead of guessed.
    """

    encoding: Literal["indices", "colors"]
    classes: tuple[Value, ...]
    ignore: tuple[Value, ...]
    why: str
    match: Literal["exact", "threshold"] = "exact"
    counts: Mapping[Value, int] = field(default_factory=dict)
    values: Mapping[Value, str] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        """The value of class 0 in masks of indices; 0 for colors."""
        return int(self.classes[0]) if self.encoding == "indices" else 0


def named_encoding(
    values: MaskValues, names: Mapping[Value, str], ignore: Sequence[Value] | None = None
) -> MaskGuess:
    """Return the encoding of masks whose values a person named.

    Args:
        values: the values in the masks.
        names: the class of each value; several values may be of one class.
        ignore: the values without a class; None: there is none.

    Raises:
        DataError: If the masks hold another value, or the names are those of colors and the values are numbers.
    """
    kind = "numbers" if values.kind == "indices" else "colors"
    if any(isinstance(value, int) != (values.kind == "indices") for value in names):
        raise DataError(
            f"the masks hold {kind}: {_listed(list(values.counts))}",
            where="--values",
            remedy="name the class of each of them: --values 0=land,1=road,2=road or '#FF0000=road'",
        )
    if left := [
        value for value in values.counts if value not in names and value not in (ignore or ())
    ]:
        raise DataError(
            f"the masks also hold {_listed(left)}",
            where=values.first.get(left[0], "--values"),
            remedy=f"add their classes to --values, or --ignore={','.join(map(str, left[:_MOST_COLORS]))}",
        )
    absent = [value for value in names if value not in values.counts]
    why = f"{len(names)} named {kind}"
    why += f"; no mask holds {_listed(absent)}" if absent else ""
    counts = {value: values.counts.get(value, 0) for value in names}
    return MaskGuess(
        values.kind, tuple(names), tuple(ignore or ()), why, counts=counts, values=names
    )


def guess_encoding(
    values: MaskValues, ignore: Sequence[Value] | None = None, *, are_classes: bool = False
) -> MaskGuess:
    """Guess the most likely meaning of the values.

    Args:
        values: the values in the masks.
        ignore: the values without a class; None guesses them.
        are_classes: whether the user named the classes, so that many numbers need not be object numbers.

    Raises:
        DataError: If no class is left, or the values cannot be classes.
    """
    if not values.counts:
        raise DataError(
            "no mask has a pixel with data",
            where="the masks",
            remedy="remove the nodata value if it is a class: gdal_edit.py -unsetnodata MASK",
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
    """Refuse a mix of masks of 0 and 1 with masks of 0 and 255."""
    if (
        ignore is not None
        or not values.counts.keys() <= {0, 1, _IGNORE}
        or _IGNORE in values.nodata
    ):
        return
    with_one = [mask for mask in values.sets if 1 in mask]
    with_white = [mask for mask in values.sets if _IGNORE in mask]
    if with_one and with_white and not any(1 in mask for mask in with_white):
        raise DataError(
            f"some masks hold 0 and 1, such as {values.first.get(1)}, others 0 and 255, such as "
            f"{values.first.get(_IGNORE)}: two encodings, or 255 is no class",
            where="the masks",
            remedy="use one encoding for all masks; or, if 255 is no class, add --ignore 255",
        )


def _refuse_doubtful_nodata(values: MaskValues, ignore: Sequence[Value] | None) -> None:
    """Refuse a value that some masks declare as nodata and others hold like any other."""
    doubtful = [value for value in values.nodata if value in values.counts]
    if ignore is None and doubtful:
        raise DataError(
            f"some masks declare {doubtful[0]} as nodata, others hold it without declaring it",
            where=values.first.get(doubtful[0]),
            remedy=f"if it has no class in any mask, add --ignore={doubtful[0]}; if not, remove the declaration: "
            "gdal_edit.py -unsetnodata MASK",
        )


def _refuse_objects(values: MaskValues) -> None:
    """Refuse object numbers: many, each in one piece, and different in each mask."""
    numbers = len(values.counts)
    if numbers > _MOST_OBJECTS and values.pieces >= _IN_ONE_PIECE and len(set(values.sets)) > 1:
        raise DataError(
            f"the masks hold {numbers} numbers, different in each mask and each in one piece: instance ids, which "
            "count objects, not classes",
            where=values.first.get(max(values.counts, key=int)),
            remedy="export masks with the class of each object; if these are classes, name them with --classes",
        )


def _areas_and_edges(values: MaskValues) -> tuple[list[Value], list[Value]]:
    """Return the values that fill areas, and those only along edges; both empty if masks have few areas."""
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
    """Return two classes by threshold if all areas are black or white and other values are at their edges."""
    if len(edges) < _FEWEST_EDGES or not (values.kind == "colors" or values.gray):
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
        return None  # classes of thin objects, such as 1 and 2 next to 0 and an ignored 255
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
    kind = "colors" if values.kind == "colors" else "gray values"
    return MaskGuess(
        "colors",
        tuple(classes),
        tuple(chosen),
        f"{len(values.counts)} {kind}, but all areas are black or white: smoothed edges, split at 128",
        match="threshold",
        counts={color: pixels[str(color)] for color in classes},
    )


def _refuse_smoothed(values: MaskValues, areas: Sequence[Value], edges: Sequence[Value]) -> None:
    """Refuse masks in which many values occur only along edges."""
    in_edges = sum(values.counts[value] for value in edges)
    many = len(edges) >= _MANY_EDGES and len(edges) > len(areas)
    if many and in_edges > _SOME_IN_EDGES * sum(values.counts.values()):
        raise DataError(
            f"{len(edges)} of the {len(values.counts)} values in the masks occur only along edges, such as "
            f"{_listed(edges[:3])}: smoothed edges, as from resizing or JPEG",
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
            f"the files declare {_listed(values.nodata)} as nodata, and the masks hold only one other value, {low}",
            where=values.first.get(low),
            remedy=f"if {_listed(values.nodata)} is a class, remove the nodata value from each mask: "
            f"gdal_edit.py -unsetnodata MASK; if not, add --ignore {_listed(values.nodata)}",
        )
    if gaps <= len(classes) + _MOST_GAPS and high - low < _MOST:
        why = f"one band with the values {_listed(numbers)}"
        why += (
            "; all masks hold only this value, so there is nothing to learn" if low == high else ""
        )
        why += f"; {gaps} between them never occur" if gaps else ""
        why += f"; {_listed(chosen)} is ignored" if chosen else ""
        why += f", the files' own nodata value: {_listed(values.nodata)}" if values.nodata else ""
        why += "; if 0 means nodata, add --ignore 0" if low == 0 and len(classes) > 2 else ""
        counts: dict[Value, int] = {value: values.counts[value] for value in classes}
        return MaskGuess("indices", tuple(range(low, high + 1)), tuple(chosen), why, counts=counts)
    if not values.gray:
        raise DataError(
            f"masks hold the values {_listed(numbers)}, too far apart for class ids",
            where=values.first.get(high),
            remedy=f"name the values without a class, such as --ignore={low if low < 0 else high}, or store the "
            "classes as 0, 1, 2 ... in 8 bits",
        )
    gray = replace(
        values, counts={_as_color(number): values.counts[number] for number in numbers}, first={}
    )
    dropped = (
        None if ignore is None and not values.nodata else [_as_color(value) for value in chosen]
    )
    guess = _of_colors(gray, dropped)
    why = f"gray values {_listed(numbers)}, too far apart for class ids: read as gray colors"
    return replace(guess, why=why)


def _ignored_numbers(numbers: Sequence[int]) -> list[int]:
    """Return 255 if the masks hold at least two lower values; with a single one, both are classes."""
    return [_IGNORE] if _IGNORE in numbers and len(numbers) > 2 and numbers[-2] < 128 else []


def _of_colors(values: MaskValues, ignore: Sequence[Value] | None) -> MaskGuess:
    counts = values.counts
    colors = list(counts)
    if len(colors) > _MOST_COLORS:
        raise DataError(
            f"the masks hold {len(colors)} different colors: not labels, or labels in a lossy format such as JPEG",
            where=values.first.get(colors[_MOST_COLORS], "the masks"),
            remedy="export the masks as PNG, without smoothing",
        )
    total = sum(counts.values())
    why = [f"{len(colors)} colors"]
    if ignore is None:
        rare = [color for color in colors if counts[color] < _RARE * total]
        black = [color for color in colors if color == _BLACK and len(colors) - len(rare) > 3]
        chosen = list(dict.fromkeys([*black, *(rare if len(rare) < len(colors) else [])]))
        why += ["black with at least three other colors is usually no class"] if black else []
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
    left = [value for value in values if value not in ignore]
    if not left:
        raise DataError(
            f"no class is left: the masks hold {_listed(values)}, and all of them are ignored",
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
    """Return a gray value as a color.

    Raises:
        DataError: If the number is not in 0..255.
    """
    if not isinstance(value, int):
        return value
    if not 0 <= value <= 255:
        raise DataError(
            f"{value} is not a gray value, and the masks hold grays from 0 to 255",
            where="--ignore",
            remedy="name only values in the masks",
        )
    return f"#{value:02X}{value:02X}{value:02X}"


def _thresholded(value: Value) -> str:
    """Return the color after `match: threshold`."""
    return "#" + "".join("FF" if channel >= _HALF else "00" for channel in _rgb(value))
