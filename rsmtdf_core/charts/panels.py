"""Draws scenes side by side with truth, prediction and errors, and legends of the classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.charts.canvas import Canvas, Entry, canvas, legend_height, legend_width
from rsmtdf_core.charts.style import FAINT, MARGIN, MUTED
from rsmtdf_core.scenes.colors import picture_colors
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.pixel_masks import color_rgb

_PANEL = 480  # px, longer side of a panel
_GAP = 12  # px between panels
_RIGHT, _WRONG = "#DCE6EE", "#C81E1E"
ERROR_ENTRIES: tuple[Entry, ...] = (("right", _RIGHT), ("wrong", _WRONG))
"""The legend of an error map; ignored pixels have the color of those in the truth."""


class PanelRow(NamedTuple):
    """A scene of a panel picture.

    Attributes:
        title: title of the row, such as the scene's id.
        image: uint8 [H, W, 3].
        truth: class ids uint8 [H, W]; None if the scene has no mask.
        prediction: class ids uint8 [H, W]; None if there is no prediction.
    """

    title: str
    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8] | None
    prediction: npt.NDArray[np.uint8] | None


def panel_picture(
    path: Path, rows: Sequence[PanelRow], manifest: Manifest, *, errors: bool = False
) -> None:
    """Write image, truth and prediction of each scene side by side, with a legend below.

    Columns without any truth or prediction are omitted. The panels of a row have the same size, with a longer side of
    480 px. `errors` adds a column with `error_colors`, for rows that have both truth and prediction.
    """
    assert rows, "panel_picture needs at least one row"
    heads = ["Image"]
    heads += ["Truth"] if any(row.truth is not None for row in rows) else []
    heads += ["Prediction"] if any(row.prediction is not None for row in rows) else []
    heads += ["Errors"] if errors else []
    width = 2 * MARGIN + len(heads) * _PANEL + (len(heads) - 1) * _GAP
    ignored = any(row.truth is not None and (row.truth == manifest.ignore_id).any() for row in rows)
    entries = class_entries(manifest, ignored=ignored)
    entries += ERROR_ENTRIES if errors else ()
    sizes = [_fitted(row.image.shape[1], row.image.shape[0]) for row in rows]
    body = sum(height for _, height in sizes) + 52 * len(rows)
    height = MARGIN + 24 + body + 34 + legend_height(width - 2 * MARGIN, entries) + MARGIN
    with canvas(path, width, height) as page:
        for column, head in enumerate(heads):
            page.text(MARGIN + column * (_PANEL + _GAP), MARGIN + 10, head, 11, bold=True)
        top = MARGIN + 24
        for row, size in zip(rows, sizes, strict=True):
            page.text(MARGIN, top + 30, row.title, 8, color=MUTED)
            top += 52
            for column, head in enumerate(heads):
                left = MARGIN + column * (_PANEL + _GAP)
                _panel(page, left, top, size, row, head, manifest)
            top += size[1]
        page.legend(MARGIN, top + 34, width - 2 * MARGIN, entries)


def _panel(
    page: Canvas,
    left: int,
    top: int,
    size: tuple[int, int],
    row: PanelRow,
    head: str,
    manifest: Manifest,
) -> None:
    colors = _colors(row, head, manifest)
    if head == "Image":
        page.image(left, top, _resized(row.image, size, Image.Resampling.BICUBIC))
    elif colors is None:
        page.box(left, top, *size, FAINT)
        page.text(left + size[0] / 2, top + size[1] / 2, "no mask", color=MUTED, align="center")
    else:
        # Average the colors when shrinking, because nearest pixels would make ragged edges.
        shrinks = size[0] < colors.shape[1]
        resampling = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
        page.image(left, top, _resized(colors, size, resampling))


def _colors(row: PanelRow, head: str, manifest: Manifest) -> Pixels | None:
    if head == "Errors":
        if row.truth is None or row.prediction is None:
            return None
        return error_colors(row.truth, row.prediction, manifest)
    ids = row.prediction if head == "Prediction" else row.truth
    return None if ids is None else picture_colors(manifest).painted(ids)


def error_colors(truth: Pixels, prediction: Pixels, manifest: Manifest) -> Pixels:
    """Return the map of right, wrong and ignored pixels, uint8 [H, W, 3], of class ids uint8 [H, W]."""
    unlabeled = picture_colors(manifest).unlabeled
    table = np.array([color_rgb(color) for color in (_RIGHT, _WRONG, unlabeled)], np.uint8)
    codes = (truth != prediction).astype(np.uint8)
    codes[truth == manifest.ignore_id] = 2
    colors: Pixels = table[codes]
    return colors


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = _PANEL / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(
    image: npt.NDArray[np.uint8], size: tuple[int, int], resampling: Image.Resampling
) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize(size, resampling))


def legend_picture(path: Path, manifest: Manifest) -> None:
    """Write a legend of the classes' colors and names, to accompany colored predictions."""
    entries = list(zip(_names(manifest), (spec.color for spec in manifest.classes), strict=True))
    inner = min(legend_width(entries), 3 * _PANEL)
    height = 2 * MARGIN + legend_height(inner, entries)
    with canvas(path, inner + 2 * MARGIN, height) as page:
        page.legend(MARGIN, MARGIN, inner, entries)


def class_entries(manifest: Manifest, *, ignored: bool) -> list[Entry]:
    """Return the legend entries of the classes in pictures; `ignored` adds an entry for unlabeled pixels."""
    colors = picture_colors(manifest)
    entries = list(zip(_names(manifest), colors.classes, strict=True))
    return [*entries, ("not labeled", colors.unlabeled)] if ignored else entries


def _names(manifest: Manifest) -> list[str]:
    return [
        f"{name} (not scored)" if name in manifest.unscored else name
        for name in manifest.class_names
    ]
