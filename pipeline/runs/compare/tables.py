"""Writes a comparison as CSV for spreadsheets, as JSON with every run, and as Markdown for readers."""

import csv
import io
import re
from pathlib import Path

from pipeline.runs.compare.values import Comparison, GroupScores, MeanStd
from rsmtdf_core.files import atomic_file, write_json
from rsmtdf_core.words import one_line


def write_tables(folder: Path, comparison: Comparison, *, classes: bool) -> None:
    """Write table.csv, table.json and table.md.

    Args:
        folder: folder for the files.
        comparison: the comparison.
        classes: add a column for each class to the CSV and Markdown tables; the JSON always has all classes.
    """
    write_json(folder / "table.json", comparison.model_dump(mode="json"))
    _write(folder / "table.csv", _csv(comparison, classes=classes))
    _write(folder / "table.md", _markdown(comparison, classes=classes))


def spread_text(spread: MeanStd | None) -> str:
    """Format mean and standard deviation in percent, or only the mean of a single run."""
    if spread is None:
        return "-"
    std = "" if spread.std is None else f" ± {100 * spread.std:.2f}"
    return f"{100 * spread.mean:.2f}{std}"


def columns(comparison: Comparison, *, classes: bool) -> list[str]:
    """Return the column headings of a table with scores in percent."""
    names = list(comparison.groups[0].classes) if classes else []
    return ["group", "seeds", "mIoU", "best step", "pixel accuracy", *names]


def cells(group: GroupScores, *, classes: bool) -> list[str]:
    """Return the row of a group, matching `columns`."""
    class_cells = [spread_text(spread) for spread in group.classes.values()] if classes else []
    return [
        group.title,
        group.seeds_text,
        spread_text(group.miou),
        group.best_steps,
        spread_text(group.overall_accuracy),
        *class_cells,
    ]


def _csv(comparison: Comparison, *, classes: bool) -> str:
    """Format the table as CSV: one row per group, scores in 0..1, empty cells for missing scores."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    folded = any(run.fold is not None for group in comparison.groups for run in group.runs)
    for group in comparison.groups:
        row: dict[str, object] = {
            "group": one_line(group.label),
            "dataset": comparison.dataset,
            "measure": comparison.measure,
            "random_teachers": " ".join(group.random_teachers),
            "seeds": " ".join(str(run.seed) for run in group.runs),
            "best_steps": " ".join(str(run.best_steps or "-") for run in group.runs),
            **_pair("miou", group.miou),
            **_pair("overall_accuracy", group.overall_accuracy),
        }
        if folded:
            row["folds"] = " ".join(
                "-" if run.fold is None else str(run.fold) for run in group.runs
            )
        for name, spread in group.classes.items() if classes else ():
            row |= _pair(f"iou {one_line(name)}", spread)
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    return text.getvalue()


def _pair(name: str, spread: MeanStd | None) -> dict[str, str]:
    mean = None if spread is None else spread.mean
    std = None if spread is None else spread.std
    return {
        f"{name} {statistic}": "" if value is None else f"{value:.6f}"
        for statistic, value in (("mean", mean), ("std", std))
    }


def _markdown(comparison: Comparison, *, classes: bool) -> str:
    """Format the table as Markdown, followed by its warnings."""
    heads = columns(comparison, classes=classes)
    folded = any(run.fold is not None for group in comparison.groups for run in group.runs)
    units = "the seeds and folds" if folded else "the seeds"
    measure = f"{comparison.measure[0].upper()}{comparison.measure[1:]}"
    lines = [
        f"{measure} on {comparison.dataset}, percent: mean ± sample standard deviation over {units}.",
        "",
        _row(heads),
        _row(["---", *["---:"] * (len(heads) - 1)]),
        *(_row(cells(group, classes=classes)) for group in comparison.groups),
    ]
    if comparison.has_more_settings:
        lines += [
            "",
            "Settings that differ:",
            "",
            _row(["group", "settings"]),
            _row(["---", "---"]),
        ]
        lines += [_row([group.label, group.settings_text]) for group in comparison.groups]
    if comparison.warnings:
        lines += ["", *(f"- {_cell(sentence)}" for sentence in comparison.warnings)]
    return "\n".join(lines) + "\n"


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(_cell(text) for text in texts) + " |"


def _cell(text: str) -> str:
    """Escape a text for Markdown."""
    return re.sub(r"([\\|<>*\[\]])", r"\\\1", one_line(text))


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())
