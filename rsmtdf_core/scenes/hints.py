"""Explain mask values that no class has, in a sentence with the change to the manifest."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.pixel_masks import ColorMasks, IndexMasks, color_rgb
from rsmtdf_core.scenes.shapes.settings import DrawnMasks
from rsmtdf_core.words import shortened

_HALF = 128  # lower channels count as 0, others as 255
_LOSSY = 64  # more different colors come from smoothing or JPEG, not from drawing
_GRAYS = 8  # different values that no class has
_LONGEST = 40  # characters of a value
_MIDDLE = range(32, 224)  # grays that are neither black nor white


def unknown_values_hint(unknown: Mapping[str, int], manifest: Manifest) -> str | None:
    """Return a sentence on the values of all masks that no class has; None without an explanation.

    Args:
        unknown: number of pixels of each value, as in `encode_mask`; values of shapes with any number.
        manifest: the manifest of the masks.
    """
    encoding = manifest.mask_encoding
    if not unknown or encoding.tolerant:
        return None
    if isinstance(encoding, DrawnMasks):
        listed = ", ".join(shortened(repr(value), _LONGEST) for value in sorted(unknown))
        return f"all values without a class: {listed}; add them under values (VALUE: CLASS) or ignore of mask_encoding"
    if isinstance(encoding, IndexMasks):
        return _of_numbers([int(value) for value in unknown], manifest, encoding)
    return _of_colors(list(unknown), manifest, encoding)


def _of_numbers(values: list[int], manifest: Manifest, encoding: IndexMasks) -> str | None:
    last = max(encoding.class_ids(manifest.classes))
    if min(values) < 0 or max(values) > 255 or last >= _HALF:
        return None
    threshold = (
        "`mask_encoding: {encoding: colors, match: threshold}` with the class colors "
        '"#000000" and "#FFFFFF"'
    )
    if max(values) >= _HALF and (len(values) >= _GRAYS or not set(values).isdisjoint(_MIDDLE)):
        return f"gray values up to {max(values)}: if black and white were smoothed, set {threshold}"
    if values == [255]:
        return f"255 often means no class: add it to mask_encoding.ignore; if it is white, set {threshold}"
    return None


def _of_colors(colors: list[str], manifest: Manifest, encoding: ColorMasks) -> str | None:
    classes = encoding.class_ids(manifest.classes)
    meant = np.array([color_rgb(color) for color in (*classes, *encoding.ignore)])
    values = np.array([color_rgb(color) for color in colors])
    if colors == ["#010101"]:
        return "some masks hold 0 and 1, others 0 and 255: use one encoding for all masks"
    corners = np.where(values >= _HALF, 255, 0)
    between = np.isin(values, _MIDDLE).any() or len(np.unique(corners, axis=0)) > 1
    if between and np.isin(meant, (0, 255)).all() and _all_in(corners, meant):
        return (
            "these colors are between those of the classes, as in smoothed edges: set "
            "`match: threshold` under mask_encoding"
        )
    if len(colors) > _LOSSY:
        return (
            f"{len(colors)} colors that no class has, as after smoothing or JPEG: export the masks as PNG "
            "without smoothing, or set `match: nearest` under mask_encoding"
        )
    return None


def _all_in(colors: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]) -> bool:
    """Whether each color [N, 3] is a class color [M, 3]."""
    return bool((colors[:, None] == classes[None]).all(axis=2).any(axis=1).all())
