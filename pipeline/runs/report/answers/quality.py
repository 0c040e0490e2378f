"""How good: the mean IoU with its spread, the worst class, and the errors that dominate."""

from collections.abc import Iterator

import numpy as np

from pipeline.runs.report.answers.answer import Answer, listed, percent
from pipeline.runs.report.data import PageData
from pipeline.runs.report.group import PageGroup

_QUESTION = "How good is it?"
_PAIRS = 3  # confusions in the sentence on errors
_LEAST = 0.05  # share of the wrong pixels from which on a confusion is named


def quality(page: PageData) -> Answer:
    """Answer for the group with the highest mean IoU."""
    group = page.best
    miou = group.scores.miou
    short = "no mean IoU" if miou is None else f"mIoU {percent(miou)}"
    return Answer(_QUESTION, short, (*_score(page, group), *_classes(group), *_errors(group)))


def _score(page: PageData, group: PageGroup) -> Iterator[str]:
    miou, accuracy, label = group.scores.miou, group.scores.overall_accuracy, group.label
    who = f"The best of {len(page.groups)} groups, {label}," if len(page.groups) > 1 else label
    if miou is None:
        yield f"{who} has no mean IoU by this protocol, because a class does not occur."
        return
    yield f"{who} has a mean IoU of {percent(miou)} on the {page.split} scenes."
    if interval := group.reports[0].interval:
        low, high = map(percent, interval)
        seed = f" of seed {group.scores.runs[0].seed}" if group.seeds > 1 else ""
        yield f"The 95 % interval{seed} over the choice of scenes is {low} to {high}."
    if group.seeds > 1:
        yield f"The spread is the standard deviation over {group.seeds} seeds."
    elif page.trained:
        yield "It is a single training, so the spread over seeds is unknown."
    if accuracy is not None:
        yield f"Of all pixels, {percent(accuracy.mean)} are right."
    if page.unvalidated:
        yield "Without validation scenes, the model after the last step was scored."


def _classes(group: PageGroup) -> Iterator[str]:
    scored = {row.name for row in group.reports[0].scores.classes if row.scored}
    means = {
        name: spread.mean
        for name, spread in group.scores.classes.items()
        if spread is not None and name in scored
    }
    if len(means) < 2:
        return
    worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    never = [name for name, mean in means.items() if mean == 0]
    if never:
        yield f"Never found: {listed(never)}."
    else:
        yield f"The worst class is {worst}, with an IoU of {percent(means[worst])}."
    if means[best] > 0:
        yield f"The best class is {best}, with {percent(means[best])}."


def _errors(group: PageGroup) -> Iterator[str]:
    """Name the confusions that make up most of the wrong pixels."""
    matrix = group.matrix
    np.fill_diagonal(matrix, 0)
    wrong = int(matrix.sum())
    if not wrong:
        return
    order = np.argsort(-matrix, axis=None, kind="stable")[:_PAIRS]
    pairs = [divmod(int(index), len(matrix)) for index in order]
    names = group.class_names
    texts = [
        f"{percent(matrix[true, predicted] / wrong)} are {names[true]} predicted as {names[predicted]}"
        for number, (true, predicted) in enumerate(pairs)
        if number == 0 or matrix[true, predicted] >= _LEAST * wrong
    ]
    yield f"Of the wrong pixels, {listed(texts)}."
