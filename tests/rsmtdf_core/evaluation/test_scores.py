"""The protocol against brute-force counts and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.scores import Confusion, scores

NAMES = ("water", "road", "forest", "clutter")


def draw_ids(seed: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Truth with ignored pixels, and a prediction that is right in about half of them."""
    random = np.random.default_rng(seed)
    truth = random.choice(np.array([0, 1, 2, 3, 255], np.uint8), size, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    noise = random.integers(0, 4, size, dtype=np.uint8)
    prediction = np.where((random.random(size) < 0.5) & (truth != 255), truth, noise)
    return truth.reshape(40, -1), prediction.reshape(40, -1)


def count(truth: np.ndarray, prediction: np.ndarray, classes: int = 4) -> np.ndarray:
    matrix = np.zeros((classes, classes), np.int64)
    for a, b in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if a != 255:
            matrix[a, b] += 1
    return matrix


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_counts_equal_a_brute_force_count_over_several_scenes(seed: int) -> None:
    confusion = Confusion(4, ignore_id=255)
    expected = np.zeros((4, 4), np.int64)
    for offset in range(3):
        truth, prediction = draw_ids(seed + offset, 400)
        confusion.add(truth, prediction)
        expected += count(truth, prediction)
    np.testing.assert_array_equal(confusion.matrix, expected)


def test_predictions_on_ignored_pixels_count_nowhere() -> None:
    truth = np.array([[255, 255, 1]], np.uint8)
    confusion = Confusion(2)
    confusion.add(truth, np.array([[0, 1, 1]], np.uint8))
    assert confusion.matrix.tolist() == [[0, 0], [0, 1]]


def test_many_classes_do_not_overflow_a_byte() -> None:
    ids = np.arange(200, dtype=np.uint8)[None]
    confusion = Confusion(200)
    confusion.add(ids, ids[:, ::-1].copy())
    np.testing.assert_array_equal(confusion.matrix, np.fliplr(np.eye(200, dtype=np.int64)))


def test_an_ignore_id_among_the_class_ids_is_kept_out_of_both_axes() -> None:
    confusion = Confusion(3, ignore_id=0)
    confusion.add(np.array([[0, 1, 2]], np.uint8), np.array([[1, 0, 2]], np.uint8))
    assert confusion.matrix.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_scores_equal_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, prediction = draw_ids(7)
    kept = truth != 255
    y, p = truth[kept], prediction[kept]
    found = scores(count(truth, prediction), NAMES)
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


def test_an_unscored_class_leaves_the_means_but_its_pixels_still_count_against_others() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, prediction = draw_ids(11)
    kept = truth != 255
    found = scores(count(truth, prediction), NAMES, unscored=("clutter",))
    iou = metrics.jaccard_score(truth[kept], prediction[kept], average=None)
    assert found.miou == pytest.approx(iou[:3].mean())
    assert [one.scored for one in found.classes] == [True, True, True, False]
    assert found.classes[3].iou == pytest.approx(iou[3])
    kept &= truth != 3
    assert found.overall_accuracy == pytest.approx(np.mean(truth[kept] == prediction[kept]))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(truth[kept], prediction[kept]))


def test_a_class_that_occurs_nowhere_is_listed_and_skipped() -> None:
    found = scores(np.array([[3, 0, 0], [1, 4, 0], [0, 0, 0]]), NAMES[:3])
    assert found.absent == ("forest",)
    assert found.miou == pytest.approx((3 / 4 + 4 / 5) / 2)
    absent = found.classes[2]
    assert (absent.iou, absent.f1, absent.precision, absent.recall) == (None, None, None, None)


def test_a_class_that_is_only_predicted_scores_zero() -> None:
    found = scores(np.array([[3, 1], [0, 0]]), NAMES[:2])
    assert found.absent == ()
    assert found.classes[1].iou == 0.0
    assert found.classes[1].recall is None
    assert found.miou == pytest.approx(3 / 8)


def test_kappa_is_none_where_there_is_only_one_class() -> None:
    found = scores(np.array([[9, 0], [0, 0]]), NAMES[:2])
    assert found.kappa is None
    assert found.overall_accuracy == 1.0


def test_a_truth_without_scored_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        scores(np.zeros((2, 2), np.int64), NAMES[:2])
    with pytest.raises(DataError, match="nothing to score"):
        scores(np.array([[0, 0], [3, 9]]), NAMES[:2], unscored=("road",))
