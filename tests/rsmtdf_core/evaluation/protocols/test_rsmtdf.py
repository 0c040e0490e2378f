"""Our protocol against brute-force counts, scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given

from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF

from .conftest import Pixels, count, drawn_pixels, manifest_of, many_pixels


def scores_of(matrix: list[list[int]], unscored: tuple[str, ...] = ()):
    counts = PixelCounts(np.array(matrix), np.zeros(len(matrix), int))
    return RSMTDF.score(counts, manifest_of(len(matrix), unscored))


@given(drawn_pixels())
def test_scores_equal_a_brute_force_count(pixels: Pixels) -> None:
    scores = RSMTDF.score(pixels.counts, pixels.manifest)
    pairs, scored = pixels.kept, pixels.manifest.scored_ids
    ious, f1s = [], []
    for index, row in enumerate(scores.classes):
        right, truth, guessed = (
            count(pairs, index, index),
            count(pairs, index),
            count(pairs, None, index),
        )
        assert row.support == truth
        assert row.scored == (index in scored)
        assert row.precision == (pytest.approx(right / guessed) if guessed else None)
        assert row.recall == (pytest.approx(right / truth) if truth else None)
        if truth + guessed == 0:
            assert (row.iou, row.f1) == (None, None)
            assert (row.name in scores.absent) == row.scored
            continue
        assert row.name not in scores.absent
        assert row.iou == pytest.approx(right / (truth + guessed - right))
        assert row.f1 == pytest.approx(2 * right / (truth + guessed))
        if row.scored:
            ious.append(row.iou)
            f1s.append(row.f1)
    assert scores.miou == pytest.approx(sum(ious) / len(ious))
    assert scores.mf1 == pytest.approx(sum(f1s) / len(f1s))
    judged = [(a, b) for a, b in pairs if a in scored]
    assert scores.overall_accuracy == pytest.approx(sum(a == b for a, b in judged) / len(judged))
    chance = sum(count(judged, i) * count(judged, None, i) for i in scored) / len(judged) ** 2
    if chance == 1:
        assert scores.kappa is None
    else:
        assert scores.kappa == pytest.approx((scores.overall_accuracy - chance) / (1 - chance))


def test_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pixels = many_pixels(7)
    y, p = zip(*pixels.kept, strict=True)
    scores = RSMTDF.score(pixels.counts, pixels.manifest)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, p)
    assert [row.iou for row in scores.classes] == pytest.approx(
        metrics.jaccard_score(y, p, average=None)
    )
    assert [row.precision for row in scores.classes] == pytest.approx(precision)
    assert [row.recall for row in scores.classes] == pytest.approx(recall)
    assert [row.f1 for row in scores.classes] == pytest.approx(f1)
    assert [row.support for row in scores.classes] == support.tolist()
    assert scores.miou == pytest.approx(metrics.jaccard_score(y, p, average="macro"))
    assert scores.mf1 == pytest.approx(f1.mean())
    assert scores.overall_accuracy == pytest.approx(metrics.accuracy_score(y, p))
    assert scores.kappa == pytest.approx(metrics.cohen_kappa_score(y, p))


def test_scores_equal_those_of_torchmetrics() -> None:
    from torchmetrics.functional import classification as metrics

    pixels = many_pixels(3)
    truth, prediction = torch.tensor(pixels.pairs).T
    how = {"num_classes": 4, "ignore_index": 255}
    scores = RSMTDF.score(pixels.counts, pixels.manifest)
    for expected, actual in (
        (metrics.multiclass_jaccard_index(prediction, truth, average="macro", **how), scores.miou),
        (metrics.multiclass_f1_score(prediction, truth, average="macro", **how), scores.mf1),
        (metrics.multiclass_cohen_kappa(prediction, truth, **how), scores.kappa),
        (
            metrics.multiclass_accuracy(prediction, truth, average="micro", **how),
            scores.overall_accuracy,
        ),
    ):
        assert actual == pytest.approx(float(expected), abs=1e-6)


def test_an_unscored_class_leaves_the_means_but_its_pixels_still_count_against_others() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pixels = many_pixels(11, ("clutter",))
    y, p = map(np.array, zip(*pixels.kept, strict=True))
    scores = RSMTDF.score(pixels.counts, pixels.manifest)
    iou = metrics.jaccard_score(y, p, average=None)
    assert scores.miou == pytest.approx(iou[:3].mean())
    assert [row.scored for row in scores.classes] == [True, True, True, False]
    assert scores.unscored == ("clutter",)
    assert scores.classes[3].iou == pytest.approx(iou[3])
    y, p = y[y != 3], p[y != 3]
    assert scores.overall_accuracy == pytest.approx(np.mean(y == p))
    assert scores.kappa == pytest.approx(metrics.cohen_kappa_score(y, p))


def test_a_class_that_occurs_nowhere_is_listed_and_skipped() -> None:
    scores = scores_of([[3, 0, 0], [1, 4, 0], [0, 0, 0]])
    assert scores.absent == ("forest",)
    assert scores.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    absent = scores.classes[2]
    assert (absent.iou, absent.f1, absent.precision, absent.recall) == (None, None, None, None)


def test_a_class_that_is_only_predicted_scores_zero() -> None:
    scores = scores_of([[3, 1], [0, 0]])
    assert scores.absent == ()
    assert scores.classes[1].iou == 0.0
    assert scores.classes[1].recall is None
    assert scores.miou == pytest.approx(3 / 8)


def test_kappa_is_none_for_a_single_class() -> None:
    scores = scores_of([[9, 0], [0, 0]])
    assert scores.kappa is None
    assert scores.overall_accuracy == 1.0


def test_a_truth_without_scored_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        scores_of([[0, 0], [0, 0]])
    with pytest.raises(DataError, match="nothing to score"):
        scores_of([[0, 0], [3, 9]], unscored=("road",))
