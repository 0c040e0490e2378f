"""The validations of a run, best first and since when."""

from rsmtdf_core.runs.history import Validation, ranked, since_best, validations

SCORES = [0.2, 0.5, 0.5, 0.1]
FOUND = [Validation(4 * (epoch + 1), epoch + 1, miou) for epoch, miou in enumerate(SCORES)]


def test_validations_are_read_from_among_the_steps():
    lines = [
        {"step": 2, "epoch": 0, "loss": 1.0},
        {"step": 3, "epoch": 0, "miou": 0.2, "split": "val"},
        {"step": 7, "epoch": 1, "miou": 0.5, "split": "val"},
    ]
    assert validations(lines) == FOUND[:2]


def test_of_equal_scores_the_earlier_is_better():
    assert [validation.epoch for validation in ranked(FOUND)] == [2, 3, 1, 4]


def test_patience_counts_from_the_first_of_the_best():
    assert since_best([]) == 0
    assert since_best(FOUND[:2]) == 0
    assert since_best(FOUND) == 2
