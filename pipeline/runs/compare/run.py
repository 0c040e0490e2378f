"""The compare stage: reads runs, compares them and writes the files of the comparison."""

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
from rsmtdf_core.files import require_writable

OUT = Path("comparison")
OUTPUTS = ("table.csv", "table.json", "table.md", "curves.png", "scores.png")


def compare(
    paths: Sequence[Path],
    out: Path | None = OUT,
    split: ReportSplit | None = None,
    *,
    classes: bool = False,
    protocol: str | None = None,
) -> Comparison:
    """Compare runs over their seeds, and write tables and pictures.

    Args:
        paths: folders of runs, or folders that contain runs.
        out: folder for table.csv, table.json, table.md, curves.png and scores.png; None writes no files.
        split: split of the evaluation reports to compare; None compares the best validations.
        classes: whether the tables have a column for each class.
        protocol: protocol of the scores to compare; None uses the first of each report.

    Raises:
        ConfigError: If the protocol is unknown, or given without a split.
        RunError: If there is no run, if a run in `paths` is damaged or was not scored on the split, or if
            the runs have different datasets.
        WriteError: If a file cannot be written.
    """
    if out is not None:
        require_writable(*(out / name for name in OUTPUTS))
    comparison, groups = compare_groups(paths, split, protocol)
    if out is not None:
        write_tables(out, comparison, classes=classes)
        records = [[run.record for run in group.runs] for group in groups]
        write_pictures(out, comparison, records)
    return comparison


def compare_groups(
    paths: Sequence[Path], split: ReportSplit | None = None, protocol: str | None = None
) -> tuple[Comparison, list[RunGroup]]:
    """Compare runs without writing files; see `compare`.

    Returns:
        The comparison, and the runs of each of its groups.
    """
    if protocol is not None:
        find_protocols([protocol])
        if split is None:
            raise ConfigError(
                f"validations during training are scored by protocol {RSMTDF.name} only",
                where="--protocol",
                remedy="name the split of the reports to compare: --split val or --split test",
            )
    records, skipped = _read(paths)
    runs = score_runs(records, split, protocol)
    require_one_dataset(runs)
    groups = group_runs(runs)
    labels = label_groups([group.settings for group in groups])
    names = [label for label, _ in labels]
    comparison = Comparison(
        dataset=runs[0].record.manifest.name,
        measure=_measure(runs, split),
        groups=tuple(_scores(group, *named) for group, named in zip(groups, labels, strict=True)),
        warnings=(*skipped, *unfairness(groups, names)),
    )
    return comparison, groups


def _measure(runs: Sequence[ScoredRun], split: ReportSplit | None) -> str:
    if split is None:
        return "best validation mIoU"
    protocols = dict.fromkeys(run.protocol for run in runs)
    return f"mIoU on {split} by protocol {' and '.join(protocols)}"


def _read(paths: Sequence[Path]) -> tuple[list[tuple[str, RunRecord]], list[str]]:
    """Read all runs in the folders.

    Returns:
        Each run once with its name, and a warning for each damaged run.

    Raises:
        RsmtdfError: If a run given in `paths` is damaged, or no run can be read.
    """
    records: dict[Path, tuple[str, RunRecord]] = {}
    warnings: list[str] = []
    first_error: RsmtdfError | None = None
    for path in paths:
        runs, _ = find_runs(path)
        for run in runs:
            if run.resolve() in records:
                continue
            try:
                records[run.resolve()] = (str(run), read_run(run))
            except RsmtdfError as error:
                if run == path:
                    raise
                first_error = first_error or error
                warnings.append(f"skipped {run}: {error.what}")
    if not records:
        assert first_error is not None, "find_runs refuses folders without runs"
        raise first_error
    return list(records.values()), warnings


def _scores(group: RunGroup, label: str, settings: dict[str, object]) -> GroupScores:
    scores = tuple(run.score for run in group.runs)
    names = group.runs[0].record.manifest.class_names
    return GroupScores(
        label=label,
        settings=settings,
        random_teachers=group.runs[0].record.random_teachers,
        runs=scores,
        miou=MeanStd.of(score.miou for score in scores),
        overall_accuracy=MeanStd.of(score.overall_accuracy for score in scores),
        classes={name: MeanStd.of(score.classes.get(name) for score in scores) for name in names},
    )
