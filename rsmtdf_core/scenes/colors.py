"""Colors of classes in pictures, which people must be able to tell apart (tests: test_colors.py).

Masks may be drawn in grays that look alike, such as 0, 1 and 2, and black may be a class. Maps and masks keep the
colors of the manifest; pictures replace such colors.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.pixel_masks import color_rgb

_COLORS = ("#4C78A8", "#F2C14E", "#54A24B", "#E45756", "#B279A2", "#9D755D", "#72B7B2", "#FF9DA6")
_LEVELS = ("00", "40", "80", "C0", "FF")
_UNLABELED = (
    "#000000",
    "#FF00FF",
    *(f"#{''.join(levels)}" for levels in product(_LEVELS, repeat=3)),
)
_GRAY = 8  # levels between the channels of a gray
_ALIKE = 64  # distance in RGB of 0 to 255


@dataclass(frozen=True)
class PictureColors:
    """The colors of a manifest's classes in pictures.

    Attributes:
        classes: the color of each class, "#RRGGBB".
        unlabeled: the color of pixels without a class, like that of no class.
    """

    classes: tuple[str, ...]
    unlabeled: str

    def painted(self, ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Convert class ids uint8 [H, W] to colors uint8 [H, W, 3]."""
        return self.table[ids]

    @property
    def table(self) -> npt.NDArray[np.uint8]:
        """The color of each id, uint8 [256, 3]; ids of no class are unlabeled."""
        table = np.full((256, 3), color_rgb(self.unlabeled), np.uint8)
        table[: len(self.classes)] = [color_rgb(color) for color in self.classes]
        return table


def picture_colors(manifest: Manifest) -> PictureColors:
    """Return the colors of the manifest, with others in place of grays that look alike."""
    colors = [spec.color for spec in manifest.classes]
    rgb = _rgb(colors)
    gray = np.ptp(rgb, axis=1) <= _GRAY
    alike = _distances(rgb, rgb) < _ALIKE
    np.fill_diagonal(alike, val=False)
    changed = np.flatnonzero(gray & (alike & gray).any(axis=1)).tolist()
    defaults = [default_color(number) for number in range(2 * len(colors))]
    if kept := [color for number, color in enumerate(colors) if number not in changed]:
        near = _distances(_rgb(defaults), _rgb(kept)).min(axis=1) < _ALIKE
        defaults = [defaults[number] for number in np.argsort(near, kind="stable")]
    for index, color in zip(changed, defaults, strict=False):
        colors[index] = color
    return PictureColors(tuple(colors), _unlike(colors))


def default_color(number: int) -> str:
    """Return a color for a class without one, different from those of its neighbors."""
    if number < len(_COLORS):
        return _COLORS[number]
    # Steps of the golden ratio go around the circle of hues without ever meeting.
    rgb = colorsys.hsv_to_rgb(
        number * 0.618034 % 1, 0.45 + 0.1 * (number % 5), 0.6 + 0.07 * (number % 6)
    )
    return "#" + "".join(f"{round(255 * band):02X}" for band in rgb)


def _unlike(colors: Sequence[str]) -> str:
    """Return the first color for unlabeled pixels that looks like no class, or else the one that differs most."""
    nearest = _distances(_rgb(_UNLABELED), _rgb(colors)).min(axis=1)
    fits = np.flatnonzero(nearest >= _ALIKE)
    return _UNLABELED[int(fits[0] if len(fits) else nearest.argmax())]


def _rgb(colors: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([color_rgb(color) for color in colors], np.float64)


def _distances(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the distance of each color [N, 3] from each other one [M, 3], as [N, M]."""
    distances: npt.NDArray[np.float64] = np.linalg.norm(first[:, None] - second[None], axis=2)
    return distances
