"""Pictures for people: what was confused with what, how predictions look, how a run went."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.canvas import (
    FAINT,
    INK,
    MARGIN,
    MUTED,
    SERIES,
    Canvas,
    Entry,
    canvas,
    legend_height,
    legend_width,
    text_width,
)
from rsmtdf_core.evaluation.curves import smoothed
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.masks import colorize

_PANEL = 480  # px, widest and highest side of a panel
_GAP = 12  # px between panels
_RIGHT = (0.03, 0.42, 0.56)  # RGB of a cell with every pixel right
_WRONG = (0.76, 0.25, 0.05)  # RGB of a cell with every pixel wrong
_MOST_NUMBERED = 30  # classes of a confusion matrix with numbers in its cells
_LINE = 24  # px from one name of a class to the next
_CHART = (720, 400)  # px, width and height of a chart's plot
_SMOOTHED_FROM = 60  # points; a longer curve is drawn with its running mean


class PanelRow(NamedTuple):
    """One scene of a panel picture.

    Attributes:
        title: what is written above the row, such as the scene's id.
        image: uint8 [H, W, 3].
        truth: class ids uint8 [H, W]; None where the scene has no mask.
        prediction: class ids uint8 [H, W]; None where nothing was predicted.
    """

    title: str
    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8] | None
    prediction: npt.NDArray[np.uint8] | None


def panel_picture(path: Path, rows: Sequence[PanelRow], manifest: Manifest) -> None:
    """Write image, truth and prediction of each scene side by side, with a legend below.

    The truth's column is left out where no scene has a mask, the prediction's where none has one. The panels
    of a row have one size, its longer side 480 px.
    """
    assert rows, "a panel picture has at least one row"
    heads = ["Image"]
    heads += ["Truth"] if any(row.truth is not None for row in rows) else []
    heads += ["Prediction"] if any(row.prediction is not None for row in rows) else []
    width = 2 * MARGIN + len(heads) * _PANEL + (len(heads) - 1) * _GAP
    ignored = any(row.truth is not None and (row.truth == manifest.ignore_id).any() for row in rows)
    entries = class_entries(manifest, ignored=ignored)
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
    ids = {"Image": None, "Truth": row.truth, "Prediction": row.prediction}[head]
    if head == "Image":
        page.image(left, top, _resized(row.image, size, Image.Resampling.BICUBIC))
    elif ids is None:
        page.box(left, top, *size, FAINT)
        page.text(left + size[0] / 2, top + size[1] / 2, "no mask", color=MUTED, align="center")
    else:
        colors = colorize(ids, manifest)
        # Averaged colours when it shrinks, as nearest pixels would fray the edges.
        shrinks = size[0] < colors.shape[1]
        how = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
        page.image(left, top, _resized(colors, size, how))


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = _PANEL / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(
    image: npt.NDArray[np.uint8], size: tuple[int, int], how: Image.Resampling
) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize(size, how))


def legend_picture(path: Path, manifest: Manifest) -> None:
    """Write the classes' colours and names, to lie beside coloured predictions."""
    entries = class_entries(manifest, ignored=False)
    inner = min(legend_width(entries), 3 * _PANEL)
    height = 2 * MARGIN + legend_height(inner, entries)
    with canvas(path, inner + 2 * MARGIN, height) as page:
        page.legend(MARGIN, MARGIN, inner, entries)


def class_entries(manifest: Manifest, *, ignored: bool) -> list[Entry]:
    """A legend's names and colours of the classes; `ignored` adds what is not labeled."""
    entries = [
        (f"{spec.name} (not scored)" if spec.name in manifest.unscored else spec.name, spec.color)
        for spec in manifest.classes
    ]
    return [*entries, ("not labeled", "#000000")] if ignored else entries


def confusion_picture(
    path: Path,
    matrix: npt.NDArray[np.int64],
    names: Sequence[str],
    title: str = "Confusion matrix",
) -> None:
    """Write a confusion matrix: percent of each row, and pixel counts.

    Texts take most of the time, and cells grow in number with the square of the classes: beyond 30 classes the
    cells have colours alone, and beyond 100 some names are left out.

    Args:
        path: the PNG file.
        matrix: pixel counts int64 [C, C], a row for each true class.
        names: the C class names.
        title: what is written on top, such as run and split.
    """
    widest = max(text_width(name) for name in names)
    with_numbers = len(names) <= _MOST_NUMBERED
    # Wide enough for level names where the classes are few, never too small for the counts.
    cell = max(62, min(max(118, widest + 14), 150, 1100 // len(names)))
    if not with_numbers:
        cell = max(8, min(_LINE, 2400 // len(names)))
    size = min(10.5, 6 + (cell - 62) / 12)  # pt of the percent
    level = widest <= cell - 10
    left = MARGIN + max(widest, 60) + 18
    tilt = 40 if with_numbers else 90  # degrees that names are turned by
    head = 24 if level else int(widest * math.sin(math.radians(tilt))) + 20
    top = MARGIN + 116 + head
    side = cell * len(names)
    tail = max(100, 0 if level else int(widest * math.cos(math.radians(tilt))) - cell // 2 + 20)
    note = "Where the pixels of each true class went: "
    note += "percent of the row, pixels below" if with_numbers else "darker, the larger the share"
    width = max(left + side + tail, MARGIN + text_width(note, 8.5), MARGIN + text_width(title, 14))
    with canvas(path, width + MARGIN, top + side + MARGIN) as page:
        page.text(MARGIN, MARGIN + 12, title, 14, bold=True)
        page.text(MARGIN, MARGIN + 48, note, 8.5, color=MUTED)
        page.text(left, MARGIN + 96, "Predicted", 8.5, color=MUTED)
        page.text(left - 18, top - 16, "Truth", 8.5, color=MUTED, align="right")
        page.text(left + side + 96, top - 16, "Pixels", 8.5, color=MUTED, align="right")
        for index, name in list(enumerate(names))[:: math.ceil(_LINE / cell)]:
            middle = (index + 0.5) * cell
            pixels = int(matrix[index].sum())
            page.text(left - 18, top + middle, name, align="right")
            if level:
                page.text(left + middle, top - 16, name, align="center")
            else:
                aside = (
                    0 if with_numbers else 9
                )  # half a line: turned names start at their right edge
                page.text(left + middle + aside, top - 8, name, rotation=tilt)
            page.text(left + side + 96, top + middle, short_count(pixels), 8.5, align="right")
            for column, count in enumerate(matrix[index].tolist() if with_numbers else ()):
                box = (left + column * cell, top + index * cell, cell)
                _cell(page, box, count, pixels, size, right=index == column)
        if not with_numbers:
            page.image(left, top, _colored_cells(matrix, cell))


def _colored_cells(matrix: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.uint8]:
    """A confusion matrix [C, C] as cells of `side` px with a gap between them, uint8 [C side, C side, 3]."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ends = np.where(np.eye(len(matrix), dtype=bool)[..., None], _RIGHT, _WRONG)
    fill = _tint(ends, shares[..., None])
    pixels = np.rint(255 * fill).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    gap = np.arange(len(pixels)) % side == 0
    pixels[gap] = pixels[:, gap] = 255
    return pixels


def _tint(
    color: npt.NDArray[np.float64], share: float | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """A colour that is faint for a share of 0 and full for 1."""
    # Below linear, so that the few percent that matter among the errors can be seen.
    return 1 - (1 - color) * (0.04 + 0.96 * share**0.8)


def _cell(
    page: Canvas,
    box: tuple[int, int, int],
    count: int,
    pixels: int,
    size: float,
    *,
    right: bool,
) -> None:
    left, top, side = box
    share = count / pixels if pixels else 0.0
    page.box(
        left + 2, top + 2, side - 4, side - 4, _tint(np.array(_RIGHT if right else _WRONG), share)
    )
    center = left + side / 2
    if not count:
        page.text(center, top + side / 2, "0", size, color="#A9B2BB", align="center")
        return
    ink, quiet = ("white", "white") if share > 0.55 else (INK, INK if share > 0.1 else MUTED)
    percent = f"{100 * share:.1f}" if share >= 0.0005 else "<0.1"
    page.text(center, top + side * 0.39, percent, size, color=ink, align="center")
    below = short_count(count)
    page.text(center, top + side * 0.69, below, size * 0.7, color=quiet, align="center")


def short_count(count: int) -> str:
    """A count in at most five characters and a unit: 950, 1.25 k, 12.5 M."""
    if count < 1000:
        return str(count)
    value, unit = count / 1000, "k"
    for larger in "MGT":
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def curves_picture(path: Path, metrics: Sequence[Mapping[str, object]]) -> None:
    """Write curves of the losses and of the mIoU over the steps of a run.

    Args:
        path: the PNG file.
        metrics: what a run recorded, in its order: each with a "step" and some numbers. Names with
            "loss" in them go into one chart, names with "miou" into another; the rest is left out.

    Raises:
        RunError: if no loss and no mIoU is among the metrics.
    """
    charts = [
        (title, series)
        for title, word in (("Loss", "loss"), ("mIoU", "miou"))
        if (series := _series(metrics, word))
    ]
    if not charts:
        raise RunError("no loss and no mIoU was recorded", remedy="let the run train further")
    plot_width, plot_height = _CHART
    step = plot_width + 120
    width = MARGIN + len(charts) * step
    most = max(legend_height(plot_width, _colors(series)) for _, series in charts)
    top = MARGIN + 62 + most + 24
    with canvas(path, width, top + plot_height + 100) as page:
        for index, (title, series) in enumerate(charts):
            left = MARGIN + 60 + index * step
            page.text(left, MARGIN + 10, title, 13, bold=True)
            if title == "mIoU":
                page.text(left + plot_width, MARGIN + 10, _best(series), color=MUTED, align="right")
            page.legend(left, MARGIN + 50, plot_width, _colors(series))
            _chart(page, (left, top), series, percent=title == "mIoU")


_Series = dict[str, tuple[list[float], list[float]]]  # steps and values of each name


def _series(metrics: Sequence[Mapping[str, object]], word: str) -> _Series:
    series: _Series = {}
    for row in metrics:
        step = _number(row.get("step"))
        for name, value in row.items():
            number = _number(value)
            if word in name.lower() and step is not None and number is not None:
                steps, values = series.setdefault(name, ([], []))
                steps.append(step + 1)  # steps trained, as elsewhere
                values.append(number)
    return series


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _colors(series: _Series) -> list[Entry]:
    return [(name, SERIES[index % len(SERIES)]) for index, name in enumerate(series)]


def _best(series: _Series) -> str:
    value, step, name = max(
        (value, -step, name)
        for name, points in series.items()
        for step, value in zip(*points, strict=True)
    )
    of_series = f", {name}" if len(series) > 1 else ""
    return f"best {100 * value:.1f} % at step {-step:,.0f}{of_series}"


def _chart(page: Canvas, place: tuple[int, int], series: _Series, *, percent: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes = page.axes(*place, *_CHART)
    for name, color in _colors(series):
        steps, values = map(np.array, series[name])
        if len(values) >= _SMOOTHED_FROM:
            axes.plot(steps, values, color=color, linewidth=0.7, alpha=0.25)
            values = smoothed(values)
        dots = "o" if len(values) <= 30 else None
        axes.plot(steps, values, color=color, linewidth=1.8, marker=dots, markersize=3.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8.5, length=0, pad=6)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if percent:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    else:
        axes.set_ylim(bottom=min(0.0, *axes.get_ylim()))
    axes.set_xlabel("step", color=MUTED, size=8.5, labelpad=6)
