"""Keys of a manifest for masks whose pixels hold numbers or colors (tests: test_pixel_masks.py)."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rsmtdf_core.settings import Settings

Color = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$"), AfterValidator(str.upper)]

Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]


def color_rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a color "#RRGGBB"."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


class ClassSpec(Settings):
    """A class; its id is its index in the manifest's list."""

    name: str = Field(min_length=1)
    color: Color


class IndexMasks(Settings):
    """Masks of one band of numbers.

    Attributes:
        encoding: the name of the encoding.
        offset: the number of the first class; the others follow in their order.
        values: classes by number, instead of `offset`; several numbers may be of one class.
        ignore: numbers without a class.

    `values` is serialized only if it has entries, so that pixels cached before the key existed keep their address.
    """

    encoding: Literal["indices"]
    offset: int = Field(default=0, ge=-(2**31), le=2**31)
    values: dict[Number, str] = Field(
        default_factory=dict, max_length=1024, exclude_if=lambda values: not values
    )
    ignore: tuple[Number, ...] = ()

    @property
    def tolerant(self) -> bool:
        """Whether values that no class has are ignored rather than refused."""
        return False

    @model_validator(mode="after")
    def _has_one_rule(self) -> Self:
        if self.values and self.offset:
            raise ValueError("values list the number of each class, so offset cannot be set")
        return self

    def class_ids(self, classes: Sequence[ClassSpec]) -> dict[int, int]:
        """Return the id of the class of each number."""
        if not self.values:
            return {self.offset + number: number for number in range(len(classes))}
        numbers = {spec.name: number for number, spec in enumerate(classes)}
        return {value: numbers[name] for value, name in self.values.items()}


class ColorMasks(Settings):
    """Masks in the classes' colors; pixels with a color in `ignore` are ignored.

    Attributes:
        encoding: the name of the encoding.
        values: classes by color; several colors may be of one class. A class with an entry has only the colors listed
            here in the masks, and its own color in pictures.
        ignore: colors without a class.
        match: the rule that matches a pixel with a class color. exact: the colors are equal; other colors are refused.
            threshold: the colors are equal after each channel below 128 becomes 0, else 255. nearest: the nearest class
            color within `max_distance`. Except for exact, colors without a match are counted and ignored.
        max_distance: Euclidean distance in RGB of 0 to 255.

    `values`, `match` and `max_distance` are serialized only if they differ from the defaults, so that pixels cached
    before these keys existed keep their address.
    """

    encoding: Literal["colors"]
    values: dict[Color, str] = Field(
        default_factory=dict, max_length=1024, exclude_if=lambda values: not values
    )
    ignore: tuple[Color, ...] = ()
    match: Literal["exact", "threshold", "nearest"] = Field(
        default="exact", exclude_if=lambda match: match == "exact"
    )
    max_distance: float = Field(default=100.0, gt=0, lt=442, exclude_if=lambda most: most == 100.0)

    @property
    def tolerant(self) -> bool:
        """Whether colors that no class has are ignored rather than refused."""
        return self.match != "exact"

    def class_ids(self, classes: Sequence[ClassSpec]) -> dict[str, int]:
        """Return the id of the class of each color."""
        listed = set(self.values.values())
        numbers = {spec.name: number for number, spec in enumerate(classes)}
        own = {spec.color: numbers[spec.name] for spec in classes if spec.name not in listed}
        return own | {color: numbers[name] for color, name in self.values.items()}
