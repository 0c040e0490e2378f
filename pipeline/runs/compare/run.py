"""From folders to a comparison, and from that to its files."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.runs import RunRecord, find_runs, read_run
from pipeline.runs.compare.fairness import require_one_dataset, unfairness
from pipeline.runs.compare.groups import RunGroup, group_runs
from pipeline.runs.compare.labels import label_groups
from pipeline.runs.compare.pictures import write_pictures
from pipeline.runs.compare.scoring import ReportSplit, ScoredRun, score_runs
from pipeline.runs.compare.tables import write_tables
from pipeline.runs.compare.values import Comparison, GroupScores, MeanStd
from rsmtdf_core.errors import ConfigError, RsmtdfError
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF

OUT = Path("comparison")


def compare(
    paths: Sequence[Path],
    out: Path | None = OUT,
    split: ReportSplit | None = None,
    *,
    classes: bool = False,
    protocol: str | None = None,
) -> Comparison:
    """Compare runs over their seeds; tables and pictures are written into the folder `out`.

    Args:
        paths: folders of runs, or folders that hold runs.
        out: table.csv, table.json, table.md, curves.png and scores.png go there; None writes nothing.
        split: compares the reports that `rsmtdf evaluate` wrote of it; None compares the best validations.
        classes: whether the tables have a column for each class.
        protocol: the rule whose scores are compared; by default the first of each report.

    Raises:
        ConfigError: where the protocol is unknown, or is named without a split.
        RunError: where there is no run, a run named itself is damaged or was not scored on the split, or
            the runs are of several datasets.
    """
    comparison, groups = compare_groups(paths, split, protocol)
    if out is not None:
        write_tables(out, comparison, classes=classes)
        records = [[run.record for run in group.runs] for group in groups]
        write_pictures(out, comparison, records)
    return comparison


def compare_groups(
    paths: Sequence[Path], split: ReportSplit | None = None, protocol: str | None = None
) -> tuple[Comparison, list[RunGroup]]:
    """A comparison, and for each of its groups the runs behind it; see `compare`."""
    if protocol is not None:
        find_protocols([protocol])
        if split is None:
            raise ConfigError(
                f"validations during training are scored by protocol {RSMTDF.name} alone",
                where="--protocol",
                remedy="name the split of the reports to compare: --split val or --split test",
            )
    records, left_out = _read(paths)
    runs = score_runs(records, split, protocol)
    require_one_dataset(runs)
    groups = group_runs(runs)
    labels = label_groups([group.settings for group in groups])
    names = [label for label, _ in labels]
    comparison = Comparison(
        dataset=runs[0].record.manifest.name,
        measure=_measure(runs, split),
        groups=tuple(_scores(group, *named) for group, named in zip(groups, labels, strict=True)),
        warnings=(*left_out, *unfairness(groups, names)),
    )
    return comparison, groups


def _measure(runs: Sequence[ScoredRun], split: ReportSplit | None) -> str:
    if split is None:
        return "best validation mIoU"
    protocols = dict.fromkeys(one.protocol for one in runs)
    return f"mIoU on {split} by protocol {' and '.join(protocols)}"


def _read(paths: Sequence[Path]) -> tuple[list[tuple[str, RunRecord]], list[str]]:
    """The runs in or below the folders, each once and with a name, and a warning for each damaged one.

    A damaged run that was named itself is an error: its part of the comparison was asked for.
    """
    found: dict[Path, tuple[str, RunRecord]] = {}
    warnings: list[str] = []
    first: RsmtdfError | None = None
    for path in paths:
        runs, _ = find_runs(path)
        for run in runs:
            if run.resolve() in found:
                continue
            try:
                found[run.resolve()] = (str(run), read_run(run))
            except RsmtdfError as error:
                if run == path:
                    raise
                first = first or error
                warnings.append(f"{run} is left out: {error.what}")
    if not found:
        assert first is not None, "a folder without runs is refused before"
        raise first
    return list(found.values()), warnings


def _scores(group: RunGroup, label: str, settings: dict[str, object]) -> GroupScores:
    scores = tuple(one.score for one in group.runs)
    names = group.runs[0].record.manifest.class_names
    return GroupScores(
        label=label,
        settings=settings,
        random_teachers=group.runs[0].record.random_teachers,
        runs=scores,
        miou=MeanStd.of(one.miou for one in scores),
        overall_accuracy=MeanStd.of(one.overall_accuracy for one in scores),
        classes={name: MeanStd.of(one.classes.get(name) for one in scores) for name in names},
    )
