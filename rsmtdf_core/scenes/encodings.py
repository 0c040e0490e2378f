"""Encodings of class ids in the pixels of masks: numbers or colors."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rsmtdf_core.settings import Settings

Color = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$"), AfterValidator(str.upper)]


def color_rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a color "#RRGGBB"."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


class IndexMasks(Settings):
    """Masks of one band: a value minus `offset` is the class id; values in `ignore` are ignored."""

    encoding: Literal["indices"]
    offset: int = Field(default=0, ge=-(2**31), le=2**31)
    ignore: tuple[Annotated[int, Field(ge=-(2**63), lt=2**63)], ...] = ()

    @property
    def tolerant(self) -> bool:
        """Whether values that no class has are ignored rather than refused."""
        return False


class ColorMasks(Settings):
    """Masks in the classes' colors; pixels with a color in `ignore` are ignored.

    Attributes:
        encoding: the name of the encoding.
        ignore: colors without a class.
        match: the rule that matches a pixel with a class color. exact: the colors are equal; other colors are refused.
            threshold: the colors are equal after each channel below 128 becomes 0, else 255. nearest: the nearest class
            color within `max_distance`. Except for exact, colors without a match are counted and ignored.
        max_distance: Euclidean distance in RGB of 0 to 255.

    `match` and `max_distance` are serialized only if they differ from the defaults, so that pixels cached before these
    keys existed keep their address.
    """

    encoding: Literal["colors"]
    ignore: tuple[Color, ...] = ()
    match: Literal["exact", "threshold", "nearest"] = Field(
        default="exact", exclude_if=lambda match: match == "exact"
    )
    max_distance: float = Field(default=100.0, gt=0, lt=442, exclude_if=lambda most: most == 100.0)

    @property
    def tolerant(self) -> bool:
        """Whether colors that no class has are ignored rather than refused."""
        return self.match != "exact"
