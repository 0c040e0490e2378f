"""The conclusion follows from the scores and their spread."""

import pytest

from pipeline.probe.values import FeatureScore, Kept
from pipeline.probe.verdict import advise, limits, retention


def score(name, kind, folds, **changed):
    teachers = tuple(name.split(" + ")) if kind in {"teacher", "pair"} else ()
    values = {
        "name": name,
        "kind": kind,
        "teachers": teachers,
        "channels": 8,
        "miou": sum(folds) / len(folds),
        "overall_accuracy": 0.5,
        "iou": {},
        "fold_miou": tuple(folds),
    }
    return FeatureScore(**values | changed)


STUDENT = score("student", "student", [0.40, 0.42, 0.41, 0.39, 0.40])
GOOD = score("dino", "teacher", [0.60, 0.61, 0.60, 0.60, 0.62])
CLOSE = score("clip", "teacher", [0.60, 0.20, 0.55, 0.39, 0.50])
POOR = score("sam", "teacher", [0.20, 0.21, 0.20, 0.20, 0.22])
TOGETHER = score("dino + clip", "pair", [0.70, 0.72, 0.71, 0.70, 0.73])
NO_GAIN = score("dino + clip", "pair", [0.61, 0.60, 0.60, 0.61, 0.61])


@pytest.mark.parametrize(
    ("scores", "worth", "words"),
    [
        ([GOOD, STUDENT], ("dino",), ["dino is worth caching: +20.2 ± 2.4", "5 of 5 folds"]),
        (
            [CLOSE, STUDENT],
            (),
            ["no teacher is clearly better", "clip", "do not exclude a gain of 35 points either"],
        ),
        ([POOR, STUDENT], (), ["-19.8", "; these labels give no reason to cache a teacher"]),
        ([CLOSE, GOOD, TOGETHER, STUDENT], ("dino", "clip"), ["dino + clip together add +10"]),
        ([GOOD, CLOSE, NO_GAIN, STUDENT], ("dino",), ["has no clear gain"]),
    ],
)
def test_advice(scores, worth, words):
    names, reasons = advise(scores)
    assert names == worth
    for word in words:
        assert word in "; ".join(reasons)


def test_a_sample_that_distinguishes_no_features_is_named():
    random = score("random", "random student", [0.41, 0.41, 0.42, 0.38, 0.41])
    assert "hardly distinguish" in advise([CLOSE, STUDENT, random])[1][-1]
    worse = score("random", "random student", [0.11, 0.11, 0.12, 0.08, 0.11])
    assert "hardly distinguish" not in "; ".join(advise([CLOSE, STUDENT, worse])[1])


def test_without_initial_features_random_weights_take_their_place():
    random = STUDENT.model_copy(update={"kind": "random student"})
    names, reasons = advise([GOOD, random])
    assert names == ("dino",)
    assert "a student with random weights" in reasons[0]


def test_two_folds_are_never_clear_unless_equal():
    two = [score("dino", "teacher", [0.6, 0.7]), score("student", "student", [0.4, 0.41])]
    assert advise(two)[0] == ()
    assert any("hardly measure" in sentence for sentence in limits(two, 8, 2, 2))


def test_retention_names_what_changed():
    trained = score("student trained (ema)", "trained student", [0.6, 0.62, 0.61, 0.59, 0.6])
    kept = [
        Kept(teacher="dino", student="trained student", cka=0.5, explained_variance=0.25),
        Kept(teacher="dino", student="student", cka=0.4),
    ]
    sentences = retention([GOOD, trained, STUDENT], kept)
    assert "is better than its initial features: +20.0" in sentences[0]
    assert "is not clearly different from dino" in sentences[1]
    assert sentences[2] == "its translations explain 25.0 % of the variance of dino's tokens"
    assert len(sentences) == 3
