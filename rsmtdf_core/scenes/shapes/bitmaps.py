"""Bitmaps of single objects, as COCO and LabelMe store them, become polygons along the borders of their pixels.

Drawn with pixels by their centers, such a polygon covers exactly the pixels of its bitmap.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rsmtdf_core.scenes.shapes.features import Geometry


def outline(bitmap: npt.NDArray[np.bool_], left: int = 0, top: int = 0) -> Geometry | None:
    """Return the polygons around the set pixels of a bitmap [h, w], with its corner at `left`, `top`, px.

    The polygons are 0.001 px smaller on each side, so that they touch no other pixel. None if no pixel is set.
    """
    import shapely
    from rasterio import Affine
    from rasterio.features import shapes

    if not bitmap.any():
        return None
    pieces = shapes(bitmap.astype(np.uint8), mask=bitmap, transform=Affine.translation(left, top))
    polygons = [shapely.geometry.shape(polygon) for polygon, _ in pieces]
    shrunk = shapely.buffer(np.array(polygons, object), -0.001, join_style="mitre")
    return shapely.geometrycollections(shrunk)


def decode_runs(
    counts: Sequence[int], height: int, width: int
) -> tuple[npt.NDArray[np.bool_], int]:
    """Decode COCO's run lengths: pixels column by column, first a run of unset ones.

    Returns:
        The columns with a set pixel and those between them, bool [height, w], and the first of them.

    Raises:
        ValueError: If the runs do not fill the image.
    """
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(f"the runs do not fill an image of {width} x {height} px")
    runs = np.array(counts, np.int64)
    ends = np.cumsum(runs)
    ones = runs[1::2] > 0
    starts, stops = ends[:-1:2][: len(ones)][ones], ends[1::2][ones]
    if not len(starts):
        return np.zeros((height, 0), bool), 0
    first, last = int(starts[0]) // height, (int(stops[-1]) - 1) // height
    columns = np.zeros((last - first + 1) * height, bool)
    for start, stop in zip(starts - first * height, stops - first * height, strict=True):
        columns[start:stop] = True
    return columns.reshape(-1, height).T, first


def decode_text(text: str) -> list[int]:
    """Decode the text of COCO's compressed run lengths.

    A number is a sequence of characters with five bits each, the lowest first; from the fourth on, it is the difference
    to the last but one.

    Raises:
        ValueError: If the text is damaged.
    """
    counts: list[int] = []
    number = shift = 0
    for code in (ord(character) - 48 for character in text):
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("the compressed runs are damaged")
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("the compressed runs end too early")
    return counts
