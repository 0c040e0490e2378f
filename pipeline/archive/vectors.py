"""Summarize cached tokens as vectors: the mean token of each view and of each scene."""

import numpy as np

from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Doubles, Mask, Rows
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.views.compose import box_cells
from rsmtdf_core.views.known import Table
from rsmtdf_core.views.render import valid_pixels
from rsmtdf_core.views.settings import ViewSettings
from rsmtdf_core.views.view import View, from_record


def view_vectors(
    reader: FeatureReader, table: Table, settings: ViewSettings, reporter: Reporter
) -> tuple[Doubles, Rows]:
    """Return the mean token of each view, over the tokens that show only its scene.

    Padding, the box of a CutMix partner and tokens on the edge of that box do not count.

    Args:
        reader: reads the tokens by row of `table`.
        table: the views, VIEW_DTYPE [views].
        settings: the settings of the views.
        reporter: shows progress.

    Returns:
        The means, float64 [views, D], and the number of tokens of each mean, int64 [views]. The mean of no token is 0.

    Raises:
        StoreDamagedError: If a record is damaged.
    """
    means = np.zeros((len(table), reader.shape.channels))
    counts = np.zeros(len(table), np.int64)
    with reporter.bar(f"read {reader.shape.teacher}", len(table)) as bar:
        for row in range(len(table)):
            tokens = reader.tokens(row)
            kept = shown_cells(from_record(table[row], row, -1), settings, tokens.shape[:2])
            counts[row] = kept.sum()
            if counts[row]:
                means[row] = tokens[kept].mean(axis=0, dtype=np.float64)
            bar.advance()
    return means, counts


def shown_cells(view: View, settings: ViewSettings, grid: tuple[int, ...]) -> Mask:
    """Return the cells of a token grid that show only the scene of a view, bool [h, w]."""
    # The pixel at the center of each cell, as in the distillation loss.
    rows, columns = ((2 * np.arange(cells) + 1) * settings.crop // (2 * cells) for cells in grid)
    shown: Mask = valid_pixels(view.geometry, settings.crop)[np.ix_(rows, columns)]
    if settings.teacher_sees == "mixed":
        inside, cut = box_cells(view.box, settings.crop, (grid[0], grid[1]))
        shown = shown & ~inside & ~cut
    return shown


def scene_vectors(means: Doubles, counts: Rows, scenes: Rows, number: int) -> Doubles:
    """Return the mean token of each scene over its views, float64 [scenes, D].

    Args:
        means: the mean token of each view, float64 [views, D].
        counts: number of tokens of each mean, int64 [views].
        scenes: the scene of each view, int64 [views].
        number: number of scenes.
    """
    sums = np.zeros((number, means.shape[1]))
    np.add.at(sums, scenes, means * counts[:, None])
    totals = np.bincount(scenes, counts, number)
    vectors: Doubles = sums / np.maximum(totals, 1)[:, None]
    return vectors


def on_one_scale(vectors: Doubles) -> Doubles:
    """Subtract the mean vector, and divide by the root of the mean squared length of the rest, [vectors, D].

    The vectors of several teachers on one scale count equally in a distance.
    """
    centered = vectors - vectors.mean(axis=0)
    scale = np.sqrt(np.square(centered).sum(axis=1).mean())
    scaled: Doubles = centered / scale if scale else centered
    return scaled
