"""Compared with what: the other groups of the page, and the commands that train a missing baseline."""

import math
from collections.abc import Iterator

from pipeline.packaged import packaged_configs
from pipeline.runs.compare import MeanStd
from pipeline.runs.report.answers.answer import Answer, command, percent
from pipeline.runs.report.data import PageData
from pipeline.runs.report.group import PageGroup
from rsmtdf_core.kinds import METHODS
from rsmtdf_core.training.settings import TaughtSettings
from rsmtdf_core.words import counted

_QUESTION = "Compared with what?"
_MOST = 3  # other groups in sentences; the table has all


def comparison(page: PageData) -> Answer:
    """Compare the best group with the others, and name the commands for a baseline that is missing."""
    sentences = [*_others(page)]
    commands: list[str] = []
    if not page.supervised:
        sentences.append(
            "No run learns from the labeled scenes alone, so the gain from unlabeled scenes and teachers is unknown. "
            "The commands below train, score and compare this baseline."
        )
        commands += _baseline(page, "supervised")
    elif len(page.groups) == 1:
        method = "rs-mtdf" if page.best.runs[0].record.config.teachers else "fixmatch"
        sentences.append(
            "The run learns from the labeled scenes alone. The commands below train a run that also learns from "
            f"unlabeled scenes: {METHODS[method].summary}."
        )
        commands += _baseline(page, method)
    if not page.imported:
        sentence, published = _published(page.comparison.dataset)
        sentences.append(sentence)
        commands += published
    others = len(page.groups) - 1
    short = f"{others} other {'group' if others == 1 else 'groups'}" if others else "no other run"
    return Answer(_QUESTION, short, tuple(sentences), tuple(commands))


def _others(page: PageData) -> Iterator[str]:
    if len(page.groups) == 1:
        yield "There is no other run on this page."
        return
    ranked = [page.best, *page.others]
    for group in ranked[1 : _MOST + 1]:
        yield _difference(page.best, group)
    if len(ranked) > _MOST + 1:
        yield f"The table of scores has {counted(len(ranked) - _MOST - 1, 'more group')}."


def _difference(best: PageGroup, other: PageGroup) -> str:
    first, second = best.scores.miou, other.scores.miou
    if first is None or second is None:
        return f"{other.label} has no mean IoU."
    points = 100 * (first.mean - second.mean)
    text = f"{other.label} has a mean IoU of {percent(second)}, {points:.2f} points less"
    if (error := _standard_error(first, second)) is None:
        return f"{text}; with a single seed, chance alone may explain the difference."
    if points > 200 * error:
        return f"{text}, more than the seeds explain."
    return f"{text}, which the spread over seeds may explain."


def _standard_error(first: MeanStd, second: MeanStd) -> float | None:
    """Return the standard error of the difference of two means; None unless both have a deviation."""
    if first.std is None or second.std is None:
        return None
    return math.sqrt(first.std**2 / first.runs + second.std**2 / second.runs)


def _published(dataset: str) -> tuple[str, list[str]]:
    """Return how to compare with the published method, if it was published on the dataset."""
    if f"{dataset.partition('-')[0]}-published" not in packaged_configs():
        return "The method has no published scores on this dataset.", []
    return (
        "To compare with the published method, import a checkpoint of its code and score it on the same scenes.",
        [command("import-official", "CHECKPOINT", "--dataset", dataset)],
    )


def _baseline(page: PageData, method: str) -> Iterator[str]:
    record = page.best.runs[0].record
    run, config = record.folder.path, record.config
    name, options = method, ["--set", f"objective.method={method}"]
    if method == "supervised" and config.objective.pretrain.steps:
        # Such a run may have the method itself, after a distillation that the baseline leaves out.
        name, options = "labels", [*options, "--set", "objective.pretrain={}"]
    baseline = run.with_name(f"{config.name}-{name}-seed{config.seed}")
    if issubclass(METHODS[method].settings, TaughtSettings):
        yield command("extract-features", record.folder.config)
    yield command("train", record.folder.config, *options, "--run", baseline)
    yield command("evaluate", baseline, "--split", page.split)
    yield command("report", run, baseline, "--split", page.split)
