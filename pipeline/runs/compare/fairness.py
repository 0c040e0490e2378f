"""Warns of unfair comparisons, and refuses to compare runs of different datasets."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pipeline.origin import begun_from
from pipeline.runs.compare.groups import RunGroup
from pipeline.runs.compare.scoring import (
    ScoredRun,
    is_of_another_step,
    is_stale,
    predicts_one_class,
)
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.report import cautions
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.roles import Role, deciding

_SPLITS = ("manifest.",)
_LABELED = ("data.labeled", "data.labeled_seed")
_SCORING = ("evaluation.",)
_MOST = 3  # maximum number of names in a sentence


def require_one_dataset(runs: Sequence[ScoredRun]) -> None:
    """Refuse runs of different datasets.

    Raises:
        RunError: If the manifests have different names or classes.
    """
    first = runs[0].record.manifest
    for run in runs[1:]:
        manifest = run.record.manifest
        for noun, expected, value in (
            ("dataset", first.name, manifest.name),
            ("classes", ", ".join(first.class_names), ", ".join(manifest.class_names)),
        ):
            if value != expected:
                raise RunError(
                    f"runs of different data cannot be compared: the {noun} of {runs[0].score.run}: {expected}, "
                    f"of {run.score.run}: {value}",
                    where=run.record.folder.path,
                    remedy="compare the runs of each dataset separately",
                )


def unfairness(groups: Sequence[RunGroup], labels: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence for each difference that may affect the scores, apart from the settings under test."""
    return (
        *_of_settings(groups),
        *_of_length(groups, labels),
        *_of_seeds(groups, labels),
        *_of_runs([run for group in groups for run in group.runs]),
    )


def _of_settings(groups: Sequence[RunGroup]) -> Iterator[str]:
    for prefixes, sentence in (
        (_SPLITS, "the runs were split or scored by different manifests"),
        (_LABELED, "the groups were trained on different labeled scenes"),
        (_SCORING, "the groups were validated in different ways"),
    ):
        keys = sorted(
            {key for group in groups for key in group.settings if key.startswith(prefixes)}
        )
        changed = [
            key
            for key in keys
            if len({json.dumps(group.settings.get(key)) for group in groups}) > 1
        ]
        if changed:
            yield f"{sentence}: {_some(changed)}"


def _of_length(groups: Sequence[RunGroup], labels: Sequence[str]) -> Iterator[str]:
    totals = {
        label: sorted({run.record.total for run in group.runs if run.record.total is not None})
        for label, group in zip(labels, groups, strict=True)
    }
    if len({total for group_totals in totals.values() for total in group_totals}) > 1:
        lengths = (
            f"{label}: {' and '.join(f'{total:,}' for total in group_totals)}"
            for label, group_totals in totals.items()
            if group_totals
        )
        yield f"the trainings have different lengths in steps ({'; '.join(lengths)})"


def _of_seeds(groups: Sequence[RunGroup], labels: Sequence[str]) -> Iterator[str]:
    seeds = [[_seed_text(run) for run in group.runs] for group in groups]
    for label, group_seeds in zip(labels, seeds, strict=True):
        repeated = [seed for seed, count in Counter(group_seeds).items() if count > 1]
        if repeated:
            yield f"{label}: several runs have seed {_some(repeated)} and are not independent"
    if len({frozenset(group_seeds) for group_seeds in seeds}) > 1:
        folds = any(run.score.fold is not None for group in groups for run in group.runs)
        lists = (
            f"{label}: {', '.join(group_seeds)}"
            for label, group_seeds in zip(labels, seeds, strict=True)
        )
        yield f"the groups have different seeds{' or folds' if folds else ''} ({'; '.join(lists)})"


def _seed_text(run: ScoredRun) -> str:
    fold = run.score.fold
    return str(run.score.seed) if fold is None else f"{run.score.seed} of fold {fold}"


def _of_runs(runs: Sequence[ScoredRun]) -> Iterator[str]:
    origins = {run.record.folder.origin for run in runs}
    tests: tuple[tuple[str, Callable[[ScoredRun], bool]], ...] = (
        ("the training is not complete", lambda run: not run.record.ended),
        ("there is no score yet", lambda run: run.score.miou is None and run.report is None),
        (
            "the protocol has no mean IoU, because a class does not occur",
            lambda run: run.score.miou is None and run.report is not None,
        ),
        ("the report scores a deleted checkpoint; run `rsmtdf evaluate` again", is_stale),
        (
            "the report scores another step than the best of the curves; run `rsmtdf evaluate` again",
            is_of_another_step,
        ),
        (
            "the model was imported, and its training data may differ from those of the other runs",
            lambda run: len(runs) > 1 and run.record.folder.imported,
        ),
        (
            "the training began from another program's model, whose training data may differ from those of other runs",
            lambda run: len(origins) > 1 and begun_from(run.record.folder) is not None,
        ),
        ("the model predicts a single class everywhere", predicts_one_class),
    )
    for sentence, applies in tests:
        if names := [run.score.run for run in runs if applies(run)]:
            yield f"{sentence}: {_some(names)}"
    if random := {name for run in runs for name in run.record.random_teachers}:
        yield cautions(sorted(random), ())[0]
    reports = [run.report for run in runs if run.report is not None]
    inferences = {fingerprint(deciding(report.inference, Role.SCORING)) for report in reports}
    images: dict[int | None, set[int]] = {}
    for run in runs:
        if run.report is not None:
            images.setdefault(run.score.fold, set()).add(run.report.images)
    if any(len(counts) > 1 for counts in images.values()):
        yield "the reports differ in scenes"
    for noun, values in (
        ("protocol", {run.protocol for run in runs}),
        ("inference", inferences),
    ):
        if len(values) > 1:
            yield f"the reports differ in {noun}"
    yield from sorted({sentence for report in reports for sentence in report.approximations})


def _some(names: Iterator[str] | Sequence[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST} more" if len(listed) > _MOST else ""
    return ", ".join(listed[:_MOST]) + more
