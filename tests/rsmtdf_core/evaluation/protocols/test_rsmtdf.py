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
    found = RSMTDF.score(pixels.counts, pixels.manifest)
    pairs, scored = pixels.kept, pixels.manifest.scored_ids
    ious, f1s = [], []
    for index, one in enumerate(found.classes):
        right, truth, guessed = (
            count(pairs, index, index),
            count(pairs, index),
            count(pairs, None, index),
        )
        assert one.support == truth
        assert one.scored == (index in scored)
        assert one.precision == (pytest.approx(right / guessed) if guessed else None)
        assert one.recall == (pytest.approx(right / truth) if truth else None)
        if truth + guessed == 0:
            assert (one.iou, one.f1) == (None, None)
            assert (one.name in found.absent) == one.scored
            continue
        assert one.name not in found.absent
        assert one.iou == pytest.approx(right / (truth + guessed - right))
        assert one.f1 == pytest.approx(2 * right / (truth + guessed))
        if one.scored:
            ious.append(one.iou)
            f1s.append(one.f1)
    assert found.miou == pytest.approx(sum(ious) / len(ious))
    assert found.mf1 == pytest.approx(sum(f1s) / len(f1s))
    judged = [(a, b) for a, b in pairs if a in scored]
    assert found.overall_accuracy == pytest.approx(sum(a == b for a, b in judged) / len(judged))
    chance = sum(count(judged, i) * count(judged, None, i) for i in scored) / len(judged) ** 2
    if chance == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx((found.overall_accuracy - chance) / (1 - chance))


def test_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pixels = many_pixels(7)
    y, p = zip(*pixels.kept, strict=True)
    found = RSMTDF.score(pixels.counts, pixels.manifest)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y, p)
    assert [one.iou for one in found.classes] == pytest.approx(
        metrics.jaccard_score(y, p, average=None)
    )
    assert [one.precision for one in found.classes] == pytest.approx(precision)
    assert [one.recall for one in found.classes] == pytest.approx(recall)
    assert [one.f1 for one in found.classes] == pytest.approx(f1)
    assert [one.support for one in found.classes] == support.tolist()
    assert found.miou == pytest.approx(metrics.jaccard_score(y, p, average="macro"))
    assert found.mf1 == pytest.approx(f1.mean())
    assert found.overall_accuracy == pytest.approx(metrics.accuracy_score(y, p))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(y, p))


def test_scores_equal_those_of_torchmetrics() -> None:
    from torchmetrics.functional import classification as metrics

    pixels = many_pixels(3)
    truth, prediction = torch.tensor(pixels.pairs).T
    how = {"num_classes": 4, "ignore_index": 255}
    found = RSMTDF.score(pixels.counts, pixels.manifest)
    for expected, own in (
        (metrics.multiclass_jaccard_index(prediction, truth, average="macro", **how), found.miou),
        (metrics.multiclass_f1_score(prediction, truth, average="macro", **how), found.mf1),
        (metrics.multiclass_cohen_kappa(prediction, truth, **how), found.kappa),
        (
            metrics.multiclass_accuracy(prediction, truth, average="micro", **how),
            found.overall_accuracy,
        ),
    ):
        assert own == pytest.approx(float(expected), abs=1e-6)


def test_an_unscored_class_leaves_the_means_but_its_pixels_still_count_against_others() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pixels = many_pixels(11, ("clutter",))
    y, p = map(np.array, zip(*pixels.kept, strict=True))
    found = RSMTDF.score(pixels.counts, pixels.manifest)
    iou = metrics.jaccard_score(y, p, average=None)
    assert found.miou == pytest.approx(iou[:3].mean())
    assert [one.scored for one in found.classes] == [True, True, True, False]
    assert found.unscored == ("clutter",)
    assert found.classes[3].iou == pytest.approx(iou[3])
    y, p = y[y != 3], p[y != 3]
    assert found.overall_accuracy == pytest.approx(np.mean(y == p))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(y, p))


def test_a_class_that_occurs_nowhere_is_listed_and_skipped() -> None:
    found = scores_of([[3, 0, 0], [1, 4, 0], [0, 0, 0]])
    assert found.absent == ("forest",)
    assert found.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    absent = found.classes[2]
    assert (absent.iou, absent.f1, absent.precision, absent.recall) == (None, None, None, None)


def test_a_class_that_is_only_predicted_scores_zero() -> None:
    found = scores_of([[3, 1], [0, 0]])
    assert found.absent == ()
    assert found.classes[1].iou == 0.0
    assert found.classes[1].recall is None
    assert found.miou == pytest.approx(3 / 8)


def test_kappa_is_none_where_there_is_only_one_class() -> None:
    found = scores_of([[9, 0], [0, 0]])
    assert found.kappa is None
    assert found.overall_accuracy == 1.0


def test_a_truth_without_scored_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        scores_of([[0, 0], [0, 0]])
    with pytest.raises(DataError, match="nothing to score"):
        scores_of([[0, 0], [3, 9]], unscored=("road",))
