"""The conclusion of a probe. A difference counts only if its 95 % interval over folds excludes 0."""

from collections.abc import Sequence
from math import isinf

from pipeline.probe.values import FeatureScore, Kept
from rsmtdf_core.probing.spread import Difference, paired_difference
from rsmtdf_core.words import counted

_SHAKY_FOLDS = 3
# Of mIoU: a gain that no one caches a teacher for.
_SMALL_GAIN = 0.01


def advise(scores: Sequence[FeatureScore]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the teachers worth caching, best first, and the reasons.

    Args:
        scores: scores of teachers, pairs and students; without the student's initial features, the random student
            takes their place.
    """
    student = _reference(scores)
    teachers = sorted(_of(scores, "teacher"), key=lambda score: -score.miou)
    better = [teacher for teacher in teachers if _clearly_better(teacher, student)]
    label = "the student's initial features"
    if student.kind == "random student":
        label = "a student with random weights"
    if not better:
        return (), (*_no_reason(teachers, student, label), *_indifference(scores))
    best = better[0]
    gain = paired_difference(best.fold_miou, student.fold_miou)
    reasons = [f"{best.name} is worth caching: {_points(gain)} against {label}"]
    worth = [best.name]
    pairs = [pair for pair in _of(scores, "pair") if best.name in pair.teachers]
    if pairs:
        pair = max(pairs, key=lambda score: score.miou)
        more = paired_difference(pair.fold_miou, best.fold_miou)
        if more.is_clear and more.mean > 0:
            worth += [name for name in pair.teachers if name != best.name]
            reasons.append(f"{pair.name} together add {_points(more)} to {best.name} alone")
        else:
            reasons.append(
                f"a second teacher has no clear gain: {pair.name} differs from {best.name} alone by {_points(more)}"
            )
    return tuple(worth), tuple(reasons)


def _no_reason(
    teachers: Sequence[FeatureScore], student: FeatureScore, label: str
) -> tuple[str, str]:
    """Describe the best teacher, and the largest gain of any that the intervals do not exclude."""
    best = teachers[0]
    difference = _points(paired_difference(best.fold_miou, student.fold_miou))
    result = (
        f"no teacher is clearly better than {label}; the best, {best.name}, differs by {difference}"
    )
    reason = "these labels give no reason to cache a teacher"
    most = max(_largest_gain(teacher, student) for teacher in teachers)
    if most < _SMALL_GAIN:
        return result, reason
    gain = "any gain" if isinf(most) else f"a gain of {100 * most:.0f} points"
    return (
        result,
        f"{reason}, but do not exclude {gain} either: raise --views, or label more scenes",
    )


def _indifference(scores: Sequence[FeatureScore]) -> tuple[str, ...]:
    """Return a sentence if the sample does not even distinguish pretrained from random weights."""
    pairs = [(a, b) for a in _of(scores, "student") for b in _of(scores, "random student")]
    return tuple(
        "the views hardly distinguish features: the student's initial features against random weights are "
        f"{_points(difference)}"
        for initial, random in pairs
        if not (difference := paired_difference(initial.fold_miou, random.fold_miou)).is_clear
    )


def _largest_gain(score: FeatureScore, reference: FeatureScore) -> float:
    """Return the upper end of the interval of the difference."""
    difference = paired_difference(score.fold_miou, reference.fold_miou)
    return difference.mean + difference.margin


def retention(scores: Sequence[FeatureScore], kept: Sequence[Kept]) -> tuple[str, ...]:
    """Describe how a trained student's features compare with its initial features and its teachers."""
    [trained] = _of(scores, "trained student")
    sentences = []
    for reference in (*_of(scores, "student"), *_of(scores, "teacher")):
        difference = paired_difference(trained.fold_miou, reference.fold_miou)
        name = "its initial features" if reference.kind == "student" else reference.name
        if not difference.is_clear:
            relation = f"is not clearly different from {name}"
        else:
            relation = f"is {'better' if difference.mean > 0 else 'worse'} than {name}"
        sentences.append(f"a linear head on the trained student {relation}: {_points(difference)}")
    sentences += [
        f"its translations explain {100 * row.explained_variance:.1f} % of the variance of {row.teacher}'s tokens"
        for row in kept
        if row.student == "trained student" and row.explained_variance is not None
    ]
    return tuple(sentences)


def limits(scores: Sequence[FeatureScore], views: int, scenes: int, folds: int) -> tuple[str, ...]:
    """Describe the limits of the conclusion."""
    seen = f"{counted(views, 'view')} of {counted(scenes, 'scene')}"
    sentences = [f"the head is linear and saw {seen}: training may rank close features differently"]
    if folds < _SHAKY_FOLDS:
        sentences.append(
            f"{folds} folds hardly measure the spread, so almost no difference is clear: label more scenes"
        )
    if names := [score.name for score in _of(scores, "teacher") if score.random_weights]:
        sentences.append(
            f"RANDOM WEIGHTS in teachers {', '.join(names)}: their scores do not reflect the models"
        )
    if not _of(scores, "student"):
        sentences.append(
            "the student's weights are unavailable, so its initial features were not scored"
        )
    return tuple(sentences)


def _of(scores: Sequence[FeatureScore], kind: str) -> list[FeatureScore]:
    return [score for score in scores if score.kind == kind]


def _reference(scores: Sequence[FeatureScore]) -> FeatureScore:
    return [*_of(scores, "student"), *_of(scores, "random student")][0]


def _clearly_better(score: FeatureScore, reference: FeatureScore) -> bool:
    difference = paired_difference(score.fold_miou, reference.fold_miou)
    return difference.is_clear and difference.mean > 0


def _points(difference: Difference) -> str:
    """Format a difference, such as "+3.1 ± 1.2 points of mIoU (better in 5 of 5 folds)"."""
    mean, margin = 100 * difference.mean, 100 * difference.margin
    wins = f"better in {difference.wins} of {difference.folds} folds"
    return f"{mean:+.1f} ± {margin:.1f} points of mIoU ({wins})"
