"""Areas and intervals are those of the paper's example, and intervals cover the truth in simulated samples."""

import numpy as np
import pytest

from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.areas import Z, estimate_areas

# The example of Olofsson et al. (2014), section 5: 30 m pixels.
NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
MATRIX = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def test_the_example_of_the_paper():
    report = estimate_areas(MATRIX, MAPPED, NAMES, 0.09, "ha")
    areas = [(round(row.area.value), round(row.area.margin)) for row in report.classes]
    assert areas == [(21158, 6158), (11686, 3756), (285770, 15510), (581386, 16282)]
    users = [(round(row.users.value, 2), round(row.users.margin, 2)) for row in report.classes]
    assert users == [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    assert [round(row.producers.value, 2) for row in report.classes] == [0.75, 0.85, 0.93, 0.96]
    assert (round(report.overall.value, 2), round(report.overall.margin, 2)) == (0.95, 0.02)
    assert report.total == pytest.approx(900_000)
    assert [row.sampled for row in report.classes] == [75, 75, 165, 325]


def test_errors_are_the_spread_of_repeated_samples():
    """Standard errors equal the deviation of the estimates, and intervals cover the truth 95 times in 100."""
    draws = np.random.default_rng(0)
    shares = np.array([[0.85, 0.1, 0.05], [0.04, 0.94, 0.02], [0.1, 0.2, 0.7]])
    mapped, sampled = np.array([20_000, 70_000, 10_000]), (120, 200, 100)
    weights = mapped / mapped.sum()
    areas = weights @ shares
    producers = weights * shares.diagonal() / areas
    expected = [*areas, *producers, *shares.diagonal(), weights @ shares.diagonal()]
    estimates, margins = [], []
    for _ in range(800):
        rows = zip(sampled, shares, strict=True)
        matrix = np.array([draws.multinomial(count, row) for count, row in rows])
        report = estimate_areas(matrix, mapped, "abc", 1 / mapped.sum())
        each = [
            *(row.area for row in report.classes),
            *(row.producers for row in report.classes),
            *(row.users for row in report.classes),
            report.overall,
        ]
        estimates.append([entry.value for entry in each])
        margins.append([entry.margin for entry in each])
    values, halves = np.array(estimates), np.array(margins)
    assert values.mean(axis=0) == pytest.approx(expected, rel=0.01)
    assert halves.mean(axis=0) / Z == pytest.approx(values.std(axis=0), rel=0.1)
    covered = (np.abs(values - expected) <= halves).mean(axis=0)
    assert (covered > 0.91).all()


def test_a_class_that_is_never_mapped_has_an_area_and_no_users_accuracy():
    matrix = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 9]])
    report = estimate_areas(matrix, np.array([60, 0, 40]), "abc")
    assert report.classes[1].users is None
    assert report.classes[1].area.value == pytest.approx(12)
    assert report.classes[1].producers.value == 0
    assert sum(row.area.value for row in report.classes) == pytest.approx(100)
    absent = estimate_areas(np.diag([5, 0, 5]), np.array([60, 0, 40]), "abc").classes[1]
    assert (absent.area.value, absent.producers) == (0, None)


def test_a_mapped_class_without_reference_pixels_is_refused():
    with pytest.raises(DataError, match=r"'b' covers 40.00% of the map and has 1 reference pixels"):
        estimate_areas(np.array([[9, 1], [0, 1]]), np.array([60, 40]), "ab")
    with pytest.raises(DataError, match="no pixel with a class"):
        estimate_areas(np.zeros((2, 2), int), np.zeros(2, int), "ab")
