"""Centers are those of the greedy algorithm, computed here from the full table of distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.centers import k_center


def plainly(points, covered, candidates, count):
    centers, chosen = list(covered), []
    for _ in range(min(count, len(candidates))):
        left = [index for index in candidates if index not in chosen]
        gaps = [min(np.linalg.norm(points[i] - points[c]) for c in centers) for i in left]
        best = left[int(np.argmax(gaps))]
        chosen.append(best)
        centers.append(best)
    return chosen


@given(st.integers(2, 14), st.integers(1, 5), st.integers(1, 20), st.integers(0, 99))
def test_centers_are_the_farthest_in_turn(number, labeled, count, seed):
    random = np.random.default_rng(seed)
    points = random.integers(0, 3, (number, 2)).astype(float)  # many equal distances
    order = random.permutation(number).tolist()
    covered = order[: min(labeled, number - 1)]
    candidates = sorted(order[len(covered) :])
    centers = k_center(points, covered, candidates, count)
    assert [center.point for center in centers] == plainly(points, covered, candidates, count)
    gaps = [center.distance for center in centers]
    assert gaps == sorted(gaps, reverse=True), "the cover only gets denser"
    for rank, center in enumerate(centers):
        earlier = [*covered, *(other.point for other in centers[:rank])]
        assert center.nearest in earlier
        gap = np.linalg.norm(points[center.point] - points[center.nearest])
        assert center.distance == pytest.approx(gap)


def test_an_outlier_comes_first_and_a_copy_of_a_labeled_point_last():
    points = np.array([[0.0, 0], [9, 9], [0, 0], [5, 5]])
    assert [center.point for center in k_center(points, [0], [1, 2, 3], 9)] == [1, 3, 2]
