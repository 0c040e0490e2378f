"""The results of experiment_teachers.py: lines of JSON, the table and the picture of mIoU over cost."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.runs.compare.values import MeanStd
from rsmtdf_core.charts.style import MUTED, LineStyle, look, new_figure, plain_axes, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]
"""A run, or an extraction of `records` views in processor `seconds`; `tokens` is a fingerprint of the tokens."""

COLUMNS = (
    *("data", "student", "labels", "arm", "K", "tokens", "steps", "seeds", "mIoU"),
    *("processor s", "with extraction"),
)


class Arm(NamedTuple):
    """A row of the table: everything but the seed.

    Attributes:
        data: name of the manifest.
        student: name of the student.
        labels: number of labeled scenes.
        arm: name of the arm.
        views: number of views of each unlabeled scene, or fresh.
        codec: codec of the tokens.
        steps: steps of the method, if it trains on unlabeled crops.
    """

    data: str
    student: str
    labels: int
    arm: str
    views: str
    codec: str
    steps: int


class Row(NamedTuple):
    """The runs of an arm.

    Attributes:
        arm: the arm.
        runs: a line for each seed.
        scores: test mIoU of each run, percent.
        warm: processor seconds of each run.
        cold: mean processor seconds with extraction.
    """

    arm: Arm
    runs: tuple[Line, ...]
    scores: tuple[float, ...]
    warm: tuple[float, ...]
    cold: float

    @property
    def mean(self) -> tuple[float, float]:
        """Mean cost and mean score."""
        return fmean(self.warm), fmean(self.scores)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the scores; None for a single run."""
        scores = MeanStd.of(self.scores)
        return None if scores is None else scores.std


def read(results: Path) -> list[dict[str, Any]]:
    """Return the lines of the results file, which may be missing."""
    return [json.loads(text) for text in _whole_lines(results).splitlines()]


def append(results: Path, line: Line) -> None:
    """Add a line, in place of a last line that was cut off."""
    whole = _whole_lines(results)
    with results.open("a") as file:
        file.truncate(len(whole))
        file.write(json.dumps(line) + "\n")


def _whole_lines(results: Path) -> str:
    """Return the text of a results file, which is ASCII, without a last line that a kill cut off."""
    text = results.read_text(encoding="ascii") if results.exists() else ""
    return text[: text.rfind("\n") + 1]


def write_report(lines: Sequence[Line], out: Path) -> None:
    """Write table.md and picture.png."""
    rows = rows_of(lines)
    (out / "table.md").write_text(table(rows))
    if rows:
        picture(out / "picture.png", rows)


def rows_of(lines: Sequence[Line]) -> list[Row]:
    """Group runs by arm. A later run of a seed replaces an earlier one, whose config had fewer keys."""
    groups: dict[Arm, dict[int, Line]] = {}
    extracted: dict[str, list[Line]] = {}
    for line in lines:
        if "arm" in line:
            arm = Arm(*(line[name] for name in Arm._fields))
            groups.setdefault(arm, {})[line["seed"]] = line
        else:
            extracted.setdefault(line["tokens"], []).append(line)
    rates = {
        tokens: sum(line["seconds"] for line in each) / sum(line["records"] for line in each)
        for tokens, each in extracted.items()
    }
    return [
        Row(
            arm,
            tuple(runs.values()),
            tuple(100 * run["miou"] for run in runs.values()),
            tuple(run["seconds"] for run in runs.values()),
            fmean(
                run["seconds"] + run["records"] * rates.get(run["tokens"], 0)
                for run in runs.values()
            ),
        )
        for arm, runs in groups.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows in Markdown: mean and sample standard deviation of the test mIoU over seeds."""
    lines: list[Sequence[object]] = [COLUMNS, ["---"] * len(COLUMNS)]
    for row in rows:
        data, student, labels, name, views, codec, _ = row.arm
        cached = any(run["records"] for run in row.runs)
        warm, miou = row.mean
        spread = "" if row.spread is None else f" ± {row.spread:.2f}"
        cells = (f"{miou:.2f}{spread}", f"{warm:.0f}", f"{row.cold:.0f}")
        tokens = codec if cached else ""
        views = "" if name == "supervised" else views
        steps, seeds = row.runs[0]["run_steps"], len(row.runs)
        lines.append((data, student, labels, name, views, tokens, steps, seeds, *cells))
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def picture(path: Path, rows: Sequence[Row]) -> None:
    """Draw test mIoU over cost, a panel for each student and number of labels, a color for each arm.

    Dots are runs, squares their means with one standard deviation to either side, and rings the costs with extraction.
    Budgets of an arm are joined.
    """
    panels = list(dict.fromkeys(row.arm[:3] for row in rows))
    names = list(dict.fromkeys(row.arm[3:6] for row in rows))
    with look():
        figure = new_figure(6.4 * len(panels), 5)
        handles = {}
        for number, panel in enumerate(panels, 1):
            axes = figure.add_subplot(1, len(panels), number)
            for index, name in enumerate(names):
                budgets = [row for row in rows if row.arm[:3] == panel and row.arm[3:6] == name]
                if budgets:
                    budgets.sort(key=lambda row: row.arm.steps)
                    handles[_label(name, names)] = _draw(axes, budgets, LineStyle.of(index))
            plain_axes(axes, grid="y")
            axes.set_xlim(left=0)
            axes.set_xlabel("processor seconds; rings: with extraction", color=MUTED, size=9)
            title = "{}, student {}, {} labeled: test mIoU, %".format(*panel)
            axes.set_title(title, loc="left", size=10)
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=3, frameon=False
        )
        save_png(figure, path, cut=True)


def _draw(axes: "Axes", budgets: Sequence[Row], style: LineStyle) -> Any:
    color = style.color
    for row in budgets:
        axes.plot(row.warm, row.scores, "o", color=color, markersize=4, alpha=0.45, mew=0)
        warm, miou = row.mean
        if row.spread is not None:
            axes.errorbar(warm, miou, row.spread, color=color, linewidth=1.2)
        if row.cold > warm:
            axes.plot([warm, row.cold], [miou] * 2, ":", color=color, linewidth=1)
            axes.plot(row.cold, miou, "o", color=color, markersize=7, fillstyle="none")
    means = [row.mean for row in budgets]
    [line] = axes.plot(*zip(*means, strict=True), style.pattern, marker="s", color=color)
    return line


def _label(name: tuple[object, ...], names: Sequence[tuple[object, ...]]) -> str:
    """Return an arm with its views and codec, where those differ between arms."""
    differing = [
        index == 0 or len({other[index] for other in names}) > 1 for index in range(len(name))
    ]
    return ", ".join(str(part) for part, kept in zip(name, differing, strict=True) if kept)
