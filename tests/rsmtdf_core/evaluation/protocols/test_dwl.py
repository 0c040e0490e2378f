"""The protocol of DWL against a brute-force count that follows its code, faults included."""

import math

import numpy as np
import pytest
from hypothesis import given

from rsmtdf_core.evaluation.protocols.dwl import DWL

from .conftest import IGNORED, Pixels, count, drawn_pixels, manifest_of

NO_DATA = -1  # the eighth class of LoveDA, which no prediction has


def quotient(above: float, below: float) -> float:
    return above / below if below else math.nan


def same(actual: float | None, expected: float) -> bool:
    return math.isnan(expected) if actual is None else actual == pytest.approx(expected, abs=1e-9)


@given(drawn_pixels())
def test_scores_equal_a_brute_force_count(pixels: Pixels) -> None:
    manifest = pixels.manifest
    scores = DWL.score(pixels.counts, manifest)
    pairs = pixels.kept
    if manifest.protocols.dwl_counts_ignored:
        pairs = [(NO_DATA if truth == IGNORED else truth, guess) for truth, guess in pixels.pairs]
    ious, f1s, chance = [], [], 0
    for index, row in enumerate(scores.classes):
        right, truth, guessed = (
            count(pairs, index, index),
            count(pairs, index),
            count(pairs, None, index),
        )
        chance += truth * guessed
        precision, recall = quotient(right, guessed), quotient(right, truth)
        iou = np.around(quotient(right, truth + guessed - right) * 100, 2)
        f1 = np.around(quotient(2 * precision * recall, precision + recall) * 100, 2)
        assert same(row.iou, iou / 100)
        assert same(row.f1, f1 / 100)
        assert same(row.precision, precision)
        assert same(row.recall, recall)
        if row.scored:
            ious.append(iou)
            f1s.append(f1)
            assert (row.name in scores.absent) == (truth + guessed == 0)
    assert [row.scored for row in scores.classes] == [
        row.name not in manifest.unscored for row in scores.classes
    ]
    assert same(scores.miou, np.mean(ious) / 100)
    assert same(scores.mf1, np.mean(f1s) / 100)
    accuracy = sum(truth == guess for truth, guess in pairs) / len(pairs)
    assert scores.overall_accuracy == pytest.approx(accuracy)
    chance /= len(pairs) ** 2
    if chance == 1:
        assert scores.kappa is None
    else:
        assert scores.kappa == pytest.approx((accuracy - chance) / (1 - chance), abs=5.1e-5)


def test_scores_are_rounded_before_their_mean() -> None:
    pixels = Pixels([(0, 0), (0, 0), (0, 1), (1, 1), (1, 1), (1, 1), (1, 0)], manifest_of(2))
    scores = DWL.score(pixels.counts, pixels.manifest)
    assert [row.iou for row in scores.classes] == [0.5, 0.6]
    uneven = Pixels([(0, 0), (0, 0), (0, 1), (1, 1), (1, 1)], manifest_of(2))
    scores = DWL.score(uneven.counts, uneven.manifest)
    assert [row.iou for row in scores.classes] == pytest.approx([0.6667, 0.6667], abs=1e-12)
    assert scores.miou == pytest.approx(0.6667, abs=1e-12)
    assert scores.kappa == 0.6154


def test_no_data_of_loveda_counts_against_the_predicted_class() -> None:
    pairs = [(0, 0), (1, 1), (IGNORED, 1)]
    plain, loveda = (
        DWL.score(Pixels(pairs, manifest).counts, manifest)
        for manifest in (manifest_of(2), manifest_of(2, dwl_counts_ignored=True))
    )
    assert (plain.miou, plain.overall_accuracy) == (1.0, 1.0)
    assert [row.iou for row in loveda.classes] == [1.0, 0.5]
    assert loveda.overall_accuracy == pytest.approx(2 / 3)


def test_a_class_without_a_right_pixel_leaves_no_mean_f1_and_an_absent_one_no_mean_at_all() -> None:
    missed = Pixels([(0, 0), (1, 0)], manifest_of(2))
    scores = DWL.score(missed.counts, missed.manifest)
    assert (scores.miou, scores.mf1) == (0.25, None)
    absent = Pixels([(0, 0), (1, 1)], manifest_of(3))
    scores = DWL.score(absent.counts, absent.manifest)
    assert (scores.miou, scores.mf1, scores.absent) == (None, None, ("forest",))
