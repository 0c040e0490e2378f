"""Names and colors of classes: given by a person, or defaults to be edited."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.colors import default_color
from rsmtdf_core.scenes.guessing import MaskGuess, Value
from rsmtdf_core.scenes.pixel_masks import ClassSpec

_LINE = re.compile(r"(?P<name>.+?)[\s,;=]+(?P<color>#[0-9A-Fa-f]{6})")
_PAIR = re.compile(r"(?P<name>[^=]*?)\s*=\s*(?P<color>#.*)")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class NamedClass:
    """A class as a person named it.

    Attributes:
        name: the name.
        color: the color "#RRGGBB" of the class in the masks; None takes the next mask color that no other class has.
    """

    name: str
    color: str | None = None


@dataclass(frozen=True)
class ClassRow:
    """A class of a draft and its pixels in the masks.

    Attributes:
        spec: name and color.
        value: the mask value of the class, an index or a color "#RRGGBB", or several as text.
        percent: share of the pixels of all classes, 0 to 100.
    """

    spec: ClassSpec
    value: Value
    percent: float


def parse_classes(text: str) -> list[NamedClass]:
    """Parse class names separated by commas, each with or without its mask color: `water=#0000FF,field`.

    Raises:
        ConfigError: If a name or a color is malformed.
    """
    classes = []
    for word in map(str.strip, text.split(",")):
        pair = _PAIR.fullmatch(word)
        if pair is None:
            classes.append(NamedClass(word))
            continue
        if not pair["name"] or not _COLOR.fullmatch(pair["color"]):
            raise ConfigError(
                f"expected NAME=#RRGGBB, found '{word}'",
                where="--classes",
                remedy="write a color as six hexadecimal digits: --classes 'water=#0000FF,field=#FFFF00'",
            )
        classes.append(NamedClass(pair["name"], pair["color"].upper()))
    return classes


def parse_values(text: str) -> dict[str, str]:
    """Parse pairs of a value and its class: `1=road,7=road`, `#FF0000=road` or `car=vehicle,bus=vehicle`.

    Raises:
        ConfigError: If a pair is malformed, or a value occurs twice.
    """
    values: dict[str, str] = {}
    for word in map(str.strip, text.split(",")):
        value, equals, name = (part.strip() for part in word.rpartition("="))
        if not equals or not name or value in values:
            raise ConfigError(
                f"expected VALUE=CLASS, each value once, found '{word}'",
                where="--values",
                remedy="separate pairs by commas: --values 'car=vehicle,bus=vehicle'",
            )
        values[value] = name
    return values


def read_classes(path: Path) -> list[NamedClass]:
    """Read classes from a text file: one name per line, optionally followed by its color `#RRGGBB`.

    Empty lines and lines that start with "# " are skipped.

    Raises:
        ConfigError: If the file cannot be read or names no class.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read: {error}", where=path) from None
    classes = []
    for line in map(str.strip, lines):
        if line and not line.startswith("# "):
            match = _LINE.fullmatch(line)
            classes.append(
                NamedClass(match["name"], match["color"].upper()) if match else NamedClass(line)
            )
    if not classes:
        raise ConfigError(
            "the file names no class", where=path, remedy="write one class name per line"
        )
    return classes


def name_classes(masks: MaskGuess | None, named: Sequence[NamedClass] | None) -> list[ClassSpec]:
    """Give each class of the masks a name and a color.

    Raises:
        ConfigError: If the names do not fit the masks.
    """
    values = () if masks is None else masks.classes
    if masks is not None and masks.values:
        return _with_values(named, tuple(dict.fromkeys(masks.values.values())))
    if named is None:
        named = [NamedClass(name) for name in _default_names(values)]
    if masks is not None and masks.encoding == "colors":
        return _with_mask_colors(named, list(map(str, values)))
    if len(named) < len(values):
        raise ConfigError(
            f"{len(named)} names for {len(values)} classes: the masks hold {', '.join(map(str, values))}",
            where="the classes",
            remedy="name all of them with --classes, in this order, or ignore values with --ignore",
        )
    return _with_default_colors(named)


def assigned_by_order(masks: MaskGuess | None, named: Sequence[NamedClass] | None) -> bool:
    """Whether class names got their mask colors by the order of the color values alone.

    That order means nothing to the person who named the classes, so the assignment needs a review.
    """
    if masks is None or named is None or masks.encoding != "colors" or masks.values:
        return False
    return sum(spec.color is None for spec in named) > 1


def class_rows(classes: Sequence[ClassSpec], masks: MaskGuess | None) -> Iterator[ClassRow]:
    """Yield the mask value and the share of pixels of each class, in the order of the ids."""
    counts = {} if masks is None else masks.counts
    total = sum(counts.values()) or 1
    if masks is not None and masks.values:
        for spec in classes:
            own = [value for value, name in masks.values.items() if name == spec.name]
            percent = 100 * sum(counts.get(value, 0) for value in own) / total
            yield ClassRow(spec, ", ".join(map(str, own)), percent)
        return
    first = None if masks is None or masks.encoding == "colors" else masks.offset
    for number, spec in enumerate(classes):
        value: Value = spec.color if first is None else first + number
        yield ClassRow(spec, value, 100 * counts.get(value, 0) / total)


def _with_mask_colors(named: Sequence[NamedClass], colors: Sequence[str]) -> list[ClassSpec]:
    """Classes with the masks' colors: those that a person paired, then the others in the order of the colors."""
    paired = {spec.color for spec in named}
    free = [color for color in colors if color not in paired]
    unpaired = [spec for spec in named if spec.color is None]
    if free and not unpaired:
        raise ConfigError(
            f"the masks hold {', '.join(free)}, which no class has",
            where="the classes",
            remedy="add a class of that color, or ignore it with --ignore",
        )
    if len(unpaired) != len(free):
        kind = "names" if len(unpaired) == len(named) else "names without a color"
        raise ConfigError(
            f"{len(unpaired)} {kind} for {len(free)} classes: the masks hold {', '.join(free) or 'no other color'}",
            where="the classes",
            remedy="name all of them with --classes, best as pairs: --classes 'water=#0000FF,field=#FFFF00'; or "
            "ignore values with --ignore",
        )
    remaining = iter(free)
    return [ClassSpec(name=spec.name, color=spec.color or next(remaining)) for spec in named]


def _with_values(named: Sequence[NamedClass] | None, used: Sequence[str]) -> list[ClassSpec]:
    """Classes whose mask values were named: those that a person listed, or all in the order of their values."""
    classes = [NamedClass(name) for name in used] if named is None else named
    names = [spec.name for spec in classes]
    if absent := [name for name in used if name not in names]:
        raise ConfigError(
            f"--values names classes that --classes lacks: {', '.join(absent)}",
            where="the classes",
            remedy="add them to --classes, or omit --classes",
        )
    return _with_default_colors(classes)


def _with_default_colors(named: Sequence[NamedClass]) -> list[ClassSpec]:
    return [
        ClassSpec(name=spec.name, color=spec.color or default_color(number))
        for number, spec in enumerate(named)
    ]


def _default_names(values: Sequence[Value]) -> Sequence[str]:
    if len(values) <= 2:
        return ("background", "foreground")[: max(1, len(values))]
    numbers = (value if isinstance(value, int) else number for number, value in enumerate(values))
    return [f"class_{number}" for number in numbers]
