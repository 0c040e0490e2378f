"""The picture of scores: a row for each group, with its runs, mean and spread at their values."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from rsmtdf_core.charts import scores
from rsmtdf_core.charts.scores import ScoreRow, scores_picture
from tests.pictures import assert_margin_is_white, pixels

ROWS = (
    ScoreRow("two seeds", (40.0, 60.0), 50.0, 14.1, "50.00 ± 14.14"),
    ScoreRow("no score", (), None, 0.0, "-"),
    ScoreRow("$one_seed$", (70.0,), 70.0, 0.0, "70.00"),
)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    written: list[Figure] = []
    save = scores.save_png

    def keep(figure: Figure, path: Path, *, cut: bool) -> None:
        written.append(figure)
        save(figure, path, cut=cut)

    monkeypatch.setattr(scores, "save_png", keep)
    return written


def test_each_row_has_its_runs_its_mean_and_its_spread(tmp_path: Path, figures) -> None:
    scores_picture(tmp_path / "scores.png", ROWS, "mIoU")
    [axes] = figures[0].axes
    lines = [line.get_xydata().tolist() for line in axes.lines]
    assert lines == [
        [[40, 0], [60, 0]],
        [[50, -0.3], [50, 0.3]],
        [[35.9, 0], [64.1, 0]],
        [],
        [[70, 2]],
        [[70, 1.7], [70, 2.3]],
        [[70, 2], [70, 2]],
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.name for row in ROWS]
    assert [text.get_text() for text in axes.texts] == ["50.00 ± 14.14", "70.00"]
    low, high = axes.get_ylim()
    assert low > high, "the first group is on top"


@pytest.mark.parametrize("name", ["a", "a name of a group that is longer than its picture " * 3])
def test_names_of_any_length_stay_within_the_margin(tmp_path: Path, name: str) -> None:
    rows = [ScoreRow(name, (50.0,), 50.0, 0.0, "50.00")] * 3
    scores_picture(tmp_path / "scores.png", rows, "mIoU")
    assert_margin_is_white(pixels(tmp_path / "scores.png"))


def test_of_many_rows_the_best_are_drawn(tmp_path: Path, figures) -> None:
    rows = [
        ScoreRow(f"group {n}", (n / 4,), None if n == 7 else n / 4, 0.0, "") for n in range(300)
    ]
    scores_picture(tmp_path / "scores.png", rows, "mIoU")
    [axes] = figures[0].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"group {n}" for n in range(299, 239, -1)]
    assert "the best 60 of 300" in axes.get_xlabel()
    assert max(pixels(tmp_path / "scores.png").shape) < 4500
