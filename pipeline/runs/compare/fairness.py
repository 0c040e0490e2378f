"""What makes a comparison less than fair, in sentences; runs of several datasets are not compared at all."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

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
_MOST = 3  # names in one sentence


def require_one_dataset(runs: Sequence[ScoredRun]) -> None:
    """Refuse runs of several datasets.

    Raises:
        RunError: where their manifests have different names or classes.
    """
    first = runs[0].record.manifest
    for one in runs[1:]:
        found = one.record.manifest
        for what, own, other in (
            ("dataset", first.name, found.name),
            ("classes", ", ".join(first.class_names), ", ".join(found.class_names)),
        ):
            if own != other:
                raise RunError(
                    f"runs of different data cannot be compared: the {what} of {runs[0].score.run}: {own}, "
                    f"of {one.score.run}: {other}",
                    where=one.record.folder.path,
                    remedy="compare the runs of each dataset by themselves",
                )


def unfairness(groups: Sequence[RunGroup], labels: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each thing beside the settings under test that may tell groups apart."""
    return (
        *_of_settings(groups),
        *_of_length(groups, labels),
        *_of_seeds(groups, labels),
        *_of_runs([one for group in groups for one in group.runs]),
    )


def _of_settings(groups: Sequence[RunGroup]) -> Iterator[str]:
    for prefixes, what in (
        (_SPLITS, "the runs were split or scored by different manifests"),
        (_LABELED, "the groups learnt from different labeled scenes"),
        (_SCORING, "the groups were validated in different ways"),
    ):
        keys = sorted(
            {key for group in groups for key in group.settings if key.startswith(prefixes)}
        )
        changed = [
            key for key in keys if len({json.dumps(one.settings.get(key)) for one in groups}) > 1
        ]
        if changed:
            yield f"{what}: {_some(changed)}"


def _of_length(groups: Sequence[RunGroup], labels: Sequence[str]) -> Iterator[str]:
    totals = {
        label: sorted({one.record.total for one in group.runs if one.record.total is not None})
        for label, group in zip(labels, groups, strict=True)
    }
    if len({total for found in totals.values() for total in found}) > 1:
        told = (
            f"{label}: {' and '.join(f'{total:,}' for total in found)}"
            for label, found in totals.items()
            if found
        )
        yield f"the trainings are of different length in steps ({'; '.join(told)})"


def _of_seeds(groups: Sequence[RunGroup], labels: Sequence[str]) -> Iterator[str]:
    seeds = [[one.record.config.seed for one in group.runs] for group in groups]
    for label, found in zip(labels, seeds, strict=True):
        twice = [seed for seed, count in Counter(found).items() if count > 1]
        if twice:
            yield f"{label}: several runs have seed {_some(map(str, twice))}; they are no independent draws"
    if len({frozenset(found) for found in seeds}) > 1:
        told = (
            f"{label}: {', '.join(map(str, found))}"
            for label, found in zip(labels, seeds, strict=True)
        )
        yield f"the groups have different seeds ({'; '.join(told)})"


def _of_runs(runs: Sequence[ScoredRun]) -> Iterator[str]:
    told: tuple[tuple[str, Callable[[ScoredRun], bool]], ...] = (
        ("the training has not come to its end", lambda one: not one.record.ended),
        ("there is no score yet", lambda one: one.score.miou is None and one.report is None),
        (
            "the protocol comes to no mean IoU, as a class occurs nowhere",
            lambda one: one.score.miou is None and one.report is not None,
        ),
        ("the report is of a checkpoint that is gone; run `rsmtdf evaluate` again", is_stale),
        (
            "the report is of another step than the best of the curves; run `rsmtdf evaluate` again",
            is_of_another_step,
        ),
        ("the model predicts a single class everywhere", predicts_one_class),
    )
    for what, which in told:
        if names := [one.score.run for one in runs if which(one)]:
            yield f"{what}: {_some(names)}"
    if random := {name for one in runs for name in one.record.random_teachers}:
        yield cautions(sorted(random), ())[0]
    reports = [one.report for one in runs if one.report is not None]
    inferences = {fingerprint(deciding(one.inference, Role.SCORING)) for one in reports}
    for what, kinds in (
        ("scenes", {one.images for one in reports}),
        ("protocol", {one.protocol for one in runs}),
        ("inference", inferences),
    ):
        if len(kinds) > 1:
            yield f"the reports differ in {what}"
    yield from sorted({sentence for one in reports for sentence in one.approximations})


def _some(names: Iterator[str] | Sequence[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more
