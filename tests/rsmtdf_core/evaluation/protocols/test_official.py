"""The official protocol against a brute-force count that follows its scripts, faults included."""

import pytest
from hypothesis import given

from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.protocols.official import OFFICIAL
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF

from .conftest import IGNORED, NAMES, Pixels, count, drawn_pixels, manifest_of, many_pixels

TINY = 1e-10


@given(drawn_pixels())
def test_scores_equal_a_brute_force_count(pixels: Pixels) -> None:
    scores = OFFICIAL.score(pixels.counts, pixels.manifest)
    ignores = pixels.manifest.protocols.official_ignores
    dropped = {
        NAMES.index(name) for name in (pixels.manifest.unscored if ignores is None else ignores)
    }
    pairs = [(IGNORED if truth in dropped else truth, guess) for truth, guess in pixels.pairs]
    masked = [(truth, guess) for truth, guess in pairs if truth != IGNORED]
    ious, f1s, right_all, chance = [], [], 0, 0
    for index, row in enumerate(scores.classes):
        assert row.scored == (index not in dropped)
        if index in dropped:
            assert (row.iou, row.f1, row.precision, row.recall) == (None,) * 4
            continue
        right, truth = count(masked, index, index), count(masked, index)
        union = truth + count(masked, None, index) - right
        guessed = count(pairs, None, index)
        precision, recall = right / (guessed + TINY), right / (truth + TINY)
        f1s.append(2 * precision * recall / (precision + recall + TINY))
        ious.append(right / (union + TINY))
        assert (row.iou, row.f1) == (pytest.approx(ious[-1]), pytest.approx(f1s[-1]))
        assert (row.precision, row.recall) == (pytest.approx(precision), pytest.approx(recall))
        assert (row.name in scores.absent) == (union == 0)
        right_all += right
        chance += guessed * truth
    total = len(masked)
    p0, pe = right_all / (total + TINY), chance / (total**2 + TINY)
    assert scores.miou == pytest.approx(sum(ious) / len(ious))
    assert scores.mf1 == pytest.approx(sum(f1s) / len(f1s))
    assert scores.overall_accuracy == pytest.approx(p0)
    assert scores.kappa == pytest.approx((p0 - pe) / (1 - pe + TINY), rel=1e-5)


def test_predictions_on_ignored_pixels_cost_f1_and_kappa_but_not_iou() -> None:
    pixels = many_pixels(5)
    without = Pixels(pixels.kept, pixels.manifest)
    scores, clean = (
        OFFICIAL.score(example.counts, example.manifest) for example in (pixels, without)
    )
    assert scores.miou == clean.miou
    assert scores.mf1 < clean.mf1
    assert scores.kappa != clean.kappa
    # Without ignored pixels, and with every class there, both protocols agree.
    expected = RSMTDF.score(without.counts, without.manifest)
    assert (clean.miou, clean.mf1, clean.kappa) == pytest.approx(
        (expected.miou, expected.mf1, expected.kappa)
    )


def test_an_absent_class_counts_as_zero_in_both_means() -> None:
    scores = OFFICIAL.score(Pixels([(0, 0), (1, 1)], manifest_of(3)).counts, manifest_of(3))
    assert scores.absent == ("forest",)
    assert (scores.miou, scores.mf1) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_potsdam_drops_its_first_class_and_scores_clutter() -> None:
    manifest = manifest_of(4, ("clutter",), official_ignores=["water"])
    pixels = Pixels([(0, 0), (0, 3), (1, 1), (2, 0), (3, 3), (3, 2), (2, 2)], manifest)
    scores = OFFICIAL.score(pixels.counts, manifest)
    assert scores.unscored == ("water",)
    assert [row.iou for row in scores.classes] == pytest.approx([None, 1, 1 / 3, 1 / 2])
    # The prediction of clutter on dropped truth costs precision: 1 of 2 is right, not 1 of 1.
    assert scores.classes[3].precision == pytest.approx(1 / 2)
    assert scores.miou == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)


def test_other_datasets_drop_classes_that_their_manifest_does_not_score() -> None:
    manifest = manifest_of(4, ("clutter",))
    pixels = Pixels([(0, 0), (1, 1), (2, 2), (3, 0)], manifest)
    scores = OFFICIAL.score(pixels.counts, manifest)
    assert scores.unscored == ("clutter",)
    assert scores.miou == pytest.approx(1)
    assert scores.classes[0].precision == pytest.approx(1 / 2)


def test_a_truth_of_dropped_pixels_alone_is_refused() -> None:
    manifest = manifest_of(2, official_ignores=["water"])
    with pytest.raises(DataError, match="nothing to score"):
        OFFICIAL.score(Pixels([(0, 0), (0, 1), (IGNORED, 1)], manifest).counts, manifest)
