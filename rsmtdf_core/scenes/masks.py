"""Convert mask pixels to class ids, and class ids to colors."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.pixel_masks import ColorMasks, IndexMasks, color_rgb
from rsmtdf_core.scenes.shapes.settings import DrawnMasks

DECODING = 1
"""The version of the conversion from mask files to class ids; raised whenever a file gets different ids.

Pixels cached by another version are rendered again and compared before they are used.
"""

# Masks are converted in bands of about this many pixels, to keep temporary arrays small compared with a raster.
_BAND_PIXELS = 2**22


def encode_mask(
    raw: npt.NDArray[np.integer], manifest: Manifest, valid: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.uint8], dict[str, int]]:
    """Convert a mask's raw pixels to class ids.

    Args:
        raw: integers [H, W] for "indices", uint8 [H, W, 3] for "colors".
        manifest: the manifest, which has the encoding.
        valid: where the mask file has data, bool [H, W]; all other pixels are ignored.

    Returns:
        Class ids uint8 [H, W], and the number of pixels of each raw id or color that no class has; those pixels are
        ignored.
    """
    height, width = raw.shape[:2]
    ids = np.empty((height, width), np.uint8)
    unknown: Counter[str] = Counter()
    rows = max(1, _BAND_PIXELS // max(1, width))
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        nodata = None if valid is None else ~valid[part]
        unknown += _encode_band(raw[part], manifest, ids[part], nodata)
    return ids, dict(unknown)


def _encode_band(
    raw: npt.NDArray[np.integer],
    manifest: Manifest,
    ids: npt.NDArray[np.uint8],
    nodata: npt.NDArray[np.bool_] | None,
) -> Counter[str]:
    """Write the class ids of some rows into `ids`; return the pixel counts of values that no class has."""
    encoding = manifest.mask_encoding
    assert not isinstance(encoding, DrawnMasks), "shapes have no raw pixels"
    if isinstance(encoding, IndexMasks):
        values: npt.NDArray[np.integer] = raw
        meaning = encoding.class_ids(manifest.classes)
        ignored: Sequence[int] = encoding.ignore
    else:
        values = _packed(raw)
        by_color = encoding.class_ids(manifest.classes)
        meaning = {_code(color): class_id for color, class_id in by_color.items()}
        ignored = [_code(color) for color in encoding.ignore]
    # A value may both belong to a class and be ignored, such as an unused class 255: ignoring, set last, wins.
    meaning |= dict.fromkeys(ignored, manifest.ignore_id)
    ids[:] = 0
    matched = np.zeros(values.shape, bool)
    for value, class_id in meaning.items():
        equal = values == value
        # No pixel equals two values. Arithmetic on bytes takes a fraction of the time of an assignment by a mask.
        ids |= equal.view(np.uint8) * np.uint8(class_id)
        matched |= equal
    ids[~matched] = manifest.ignore_id
    if nodata is not None:
        ids[nodata] = manifest.ignore_id
        matched |= nodata
    if matched.all():
        return Counter()
    if isinstance(encoding, IndexMasks):
        return _counted(values[~matched])
    codes = values[~matched]
    # Tables over all 2^24 colors: if every pixel of a mask is off, sorting them would take many times longer.
    unmatched = np.zeros(2**24, bool)
    unmatched[codes] = True
    strange = np.flatnonzero(unmatched)
    near = _nearest(strange, np.array(list(meaning)), encoding)
    table = np.full(2**24, manifest.ignore_id, np.uint8)
    table[strange] = np.array([manifest.ignore_id, *meaning.values()], np.uint8)[near + 1]
    unmatched[strange[near >= 0]] = False
    ids[~matched] = table[codes]
    left = _counted(codes[unmatched[codes]])
    return Counter({f"#{int(code):06X}": count for code, count in left.items()})


def _counted(values: npt.NDArray[np.integer]) -> Counter[str]:
    distinct, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(map(str, distinct), counts.tolist(), strict=True)))


def _nearest(
    colors: npt.NDArray[np.integer], meant: npt.NDArray[np.integer], encoding: ColorMasks
) -> npt.NDArray[np.intp]:
    """Return, for each packed color [N], the index of its match in `meant` [M]; -1 for no match."""
    pixels, classes = _unpacked(colors), _unpacked(meant)
    if encoding.match == "exact":
        return np.full(len(pixels), -1, np.intp)
    if encoding.match == "threshold":
        pixels = np.where(pixels >= 128, 255, 0)
    squares = ((pixels[:, None] - classes[None]) ** 2).sum(axis=2)
    limit = 0 if encoding.match == "threshold" else encoding.max_distance**2
    return np.where(squares.min(axis=1) <= limit, squares.argmin(axis=1), -1)


def colorize(ids: npt.NDArray[np.uint8], manifest: Manifest) -> npt.NDArray[np.uint8]:
    """Convert class ids uint8 [H, W] to the classes' colors, uint8 [H, W, 3]; ignored pixels are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(manifest.classes)] = manifest.palette
    return table[ids]


def _unpacked(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return np.stack([codes >> 16, (codes >> 8) & 255, codes & 255], axis=-1).astype(np.int64)


def _packed(raw: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Pack colors [..., 3] into numbers 0xRRGGBB; in place, as every temporary array would be larger than the mask."""
    codes = raw[..., 0].astype(np.uint32)
    for band in (1, 2):
        codes <<= 8
        codes |= raw[..., band]
    return codes


def _code(color: str) -> int:
    red, green, blue = color_rgb(color)
    return (red << 16) | (green << 8) | blue
