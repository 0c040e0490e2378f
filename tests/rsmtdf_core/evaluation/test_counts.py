"""Pixels are counted once each, by truth and prediction or on ignored truth."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.evaluation.counts import Confusion, PixelCounts


@given(st.integers(0, 2**32 - 1), st.sampled_from([255, 200, 3]))
@settings(max_examples=20)
def test_counts_equal_a_brute_force_count_over_several_scenes(seed: int, ignore_id: int) -> None:
    random = np.random.default_rng(seed)
    confusion = Confusion(4, ignore_id)
    matrix, ignored = np.zeros((4, 4), int), np.zeros(4, int)
    for height in (1, 5, 8):
        truth = random.choice(np.array([0, 1, 2, ignore_id], np.uint8), (height, 9))
        prediction = random.integers(0, 4, (height, 9), dtype=np.uint8)
        confusion.add(truth, prediction)
        for a, b in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if a == ignore_id:
                ignored[b] += 1
            else:
                matrix[a, b] += 1
    np.testing.assert_array_equal(confusion.counts.matrix, matrix)
    np.testing.assert_array_equal(confusion.counts.ignored, ignored)
    np.testing.assert_array_equal(confusion.counts.predicted, matrix.sum(axis=0) + ignored)


def test_predictions_on_ignored_pixels_are_counted_separately() -> None:
    confusion = Confusion(2)
    confusion.add(np.array([[255, 255, 1]], np.uint8), np.array([[0, 1, 1]], np.uint8))
    assert confusion.counts.matrix.tolist() == [[0, 0], [0, 1]]
    assert confusion.counts.ignored.tolist() == [1, 1]


def test_many_classes_do_not_overflow_a_byte() -> None:
    ids = np.arange(200, dtype=np.uint8)[None]
    confusion = Confusion(200)
    confusion.add(ids, ids[:, ::-1].copy())
    np.testing.assert_array_equal(confusion.counts.matrix, np.fliplr(np.eye(200, dtype=int)))


def test_an_ignore_id_among_the_class_ids_is_kept_out_of_both_axes() -> None:
    confusion = Confusion(3, ignore_id=0)
    confusion.add(np.array([[0, 1, 2]], np.uint8), np.array([[1, 0, 2]], np.uint8))
    assert confusion.counts.matrix.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_counts_handed_out_do_not_grow_with_the_next_scene() -> None:
    confusion = Confusion(2)
    before = confusion.counts
    confusion.add(np.array([[255, 1]], np.uint8), np.array([[0, 1]], np.uint8))
    assert isinstance(before, PixelCounts)
    assert before.matrix.sum() == before.ignored.sum() == 0
