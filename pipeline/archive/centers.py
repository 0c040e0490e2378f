"""Choose points that cover a set: k-centre greedy, for active learning (Sener and Savarese, ICLR 2018, algorithm 1)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rsmtdf_core.arrays import Doubles


class Center(NamedTuple):
    """A chosen point.

    Attributes:
        point: index of the point.
        distance: its Euclidean distance to the nearest center before it was chosen.
        nearest: index of that center.
    """

    point: int
    distance: float
    nearest: int


def k_center(
    points: Doubles, covered: Sequence[int], candidates: Sequence[int], count: int
) -> list[Center]:
    """Choose in turn the candidate that is farthest from all centers so far; the first of equals.

    Args:
        points: the points, float64 [points, D].
        covered: indices of the first centers, at least one.
        candidates: indices of the points to choose from.
        count: number of points to choose; no more than there are candidates are chosen.
    """
    assert len(covered), "k_center needs a first center"
    left = np.array(candidates, np.int64)
    nearest = np.full(len(left), covered[0], np.int64)
    distances = np.full(len(left), np.inf)

    def cover(center: int) -> None:
        to_center = np.linalg.norm(points[left] - points[center], axis=1)
        nearer = to_center < distances
        distances[nearer], nearest[nearer] = to_center[nearer], center

    for center in covered:
        cover(center)
    chosen: list[Center] = []
    taken = np.zeros(len(left), bool)
    for _ in range(min(count, len(left))):
        farthest = int(np.where(taken, -1.0, distances).argmax())
        index = int(left[farthest])
        chosen.append(Center(index, float(distances[farthest]), int(nearest[farthest])))
        taken[farthest] = True
        cover(index)
    return chosen
