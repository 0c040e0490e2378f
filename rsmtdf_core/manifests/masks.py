"""Mask pixels as class ids, and class ids as colours."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rsmtdf_core.manifests.schema import IndexMasks, Manifest, color_rgb


def encode_mask(
    raw: npt.NDArray[np.integer], manifest: Manifest
) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
    """Turn a mask's raw pixels into class ids.

    Args:
        raw: integers [H, W] for "indices", uint8 [H, W, 3] for "colors".
        manifest: tells the encoding.

    Returns:
        class ids uint8 [H, W], and the count of pixels of each raw id or colour that no class
        has; those pixels are ignored.
    """
    encoding = manifest.mask_encoding
    if isinstance(encoding, IndexMasks):
        values: npt.NDArray[np.integer] = raw
        class_values: Sequence[int] = range(
            encoding.offset, encoding.offset + len(manifest.classes)
        )
        ignored: Sequence[int] = encoding.ignore
    else:
        values = _packed(raw)
        class_values = [_code(spec.color) for spec in manifest.classes]
        ignored = [_code(color) for color in encoding.ignore]
    ids = np.full(values.shape, manifest.ignore_id, np.uint8)
    known = np.zeros(values.shape, bool)
    for class_id, value in enumerate(class_values):
        here = values == value
        ids[here] = class_id
        known |= here
    for value in ignored:
        here = values == value
        # A value may be a class's and ignored at once, say an unused class 255: ignoring wins.
        ids[here] = manifest.ignore_id
        known |= here
    if known.all():
        return ids, {}
    strange, counts = np.unique(values[~known], return_counts=True)
    named = (
        str(value) if isinstance(encoding, IndexMasks) else f"#{value:06X}" for value in strange
    )
    return ids, dict(zip(named, counts.tolist(), strict=True))


def colorize(ids: npt.NDArray[np.uint8], manifest: Manifest) -> npt.NDArray[np.uint8]:
    """Class ids uint8 [H, W] in the classes' colours, uint8 [H, W, 3]; ignored is black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(manifest.classes)] = manifest.palette
    return table[ids]


def _packed(raw: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    red, green, blue = (raw[..., band].astype(np.uint32) for band in range(3))
    return (red << 16) | (green << 8) | blue


def _code(color: str) -> int:
    red, green, blue = color_rgb(color)
    return (red << 16) | (green << 8) | blue
