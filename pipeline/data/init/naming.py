"""Names and colours of classes: those that a person gave, or stand-ins to be edited."""

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.guessing import MaskGuess, Value
from rsmtdf_core.scenes.manifest import ClassSpec

_COLORS = ("#4C78A8", "#F2C14E", "#54A24B", "#E45756", "#B279A2", "#9D755D", "#72B7B2", "#FF9DA6")
_COLOR = re.compile(r"(?P<name>.+?)[\s,;]+(?P<color>#[0-9A-Fa-f]{6})")


@dataclass(frozen=True)
class NamedClass:
    """A class as a person named it; the colour is the masks', or, without one, the next that they hold."""

    name: str
    color: str | None = None


def read_classes(path: Path) -> list[NamedClass]:
    """Classes from a text file: a name a line, with a colour `#RRGGBB` after it where that matters.

    Empty lines and those that start with "# " are left out.

    Raises:
        ConfigError: where the file cannot be read or names no class.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read: {error}", where=path) from None
    named = []
    for line in map(str.strip, lines):
        if line and not line.startswith("# "):
            match = _COLOR.fullmatch(line)
            named.append(
                NamedClass(match["name"], match["color"].upper()) if match else NamedClass(line)
            )
    if not named:
        raise ConfigError("the file names no class", where=path, remedy="write a name a line")
    return named


def name_classes(masks: MaskGuess | None, named: Sequence[NamedClass] | None) -> list[ClassSpec]:
    """A name and a colour for each class that the masks hold.

    Raises:
        ConfigError: where the names do not fit the masks.
    """
    values = () if masks is None else masks.classes
    if named is None:
        named = [NamedClass(name) for name in _default_names(values)]
    colored = masks is not None and masks.encoding == "colors"
    if colored and all(one.color for one in named):
        missing = [str(one) for one in values if one not in {one.color for one in named}]
        if missing:
            raise ConfigError(
                f"the masks hold {', '.join(missing)}, which no class has",
                where="the classes",
                remedy="add a class of that colour, or name it with --ignore",
            )
    elif len(named) < len(values) or (colored and len(named) > len(values)):
        raise ConfigError(
            f"{len(named)} names for {len(values)} classes: the masks hold {', '.join(map(str, values))}",
            where="the classes",
            remedy="give a name for each with --classes, in this order, or name values with --ignore",
        )
    colors = values if colored else [one.color or _ink(at) for at, one in enumerate(named)]
    return [
        ClassSpec(name=one.name, color=one.color or str(colors[at])) for at, one in enumerate(named)
    ]


def _default_names(values: Sequence[Value]) -> Sequence[str]:
    if len(values) <= 2:
        return ("background", "foreground")[: max(1, len(values))]
    numbers = (one if isinstance(one, int) else at for at, one in enumerate(values))
    return [f"class_{number}" for number in numbers]


def _ink(number: int) -> str:
    """A colour for a class without one, unlike those of its neighbours."""
    if number < len(_COLORS):
        return _COLORS[number]
    # Steps of the golden ratio go around the circle of hues without ever meeting.
    rgb = colorsys.hsv_to_rgb(
        number * 0.618034 % 1, 0.45 + 0.1 * (number % 5), 0.6 + 0.07 * (number % 6)
    )
    return "#" + "".join(f"{round(255 * band):02X}" for band in rgb)
