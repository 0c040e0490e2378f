"""Pictures: nothing cut off, panels aligned, the manifest's colours, the same bytes every time."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.canvas import MARGIN, Canvas
from rsmtdf_core.evaluation.pictures import (
    PanelRow,
    confusion_picture,
    curves_picture,
    legend_picture,
    panel_picture,
    short_count,
)
from rsmtdf_core.scenes.manifest import Manifest

COLORS = {
    "water": "#0000FF",
    "impervious surface": "#FFFFFF",
    "forest": "#00FF00",
    "clutter": "#FF0000",
}


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.model_validate(
        {
            "name": "small",
            "title": "Small",
            "classes": [{"name": name, "color": color} for name, color in COLORS.items()],
            "unscored": ["clutter"],
            "images": "images/{name}.png",
            "masks": "masks/{name}.png",
            "mask_encoding": {"encoding": "indices"},
            "splits": {"train": {}},
        }
    )


def draw_row(height: int, width: int, *, masked: bool = True) -> PanelRow:
    image = np.full((height, width, 3), 90, np.uint8)
    truth = np.full((height, width), 2, np.uint8)
    return PanelRow("area 1/$scene$", image, truth if masked else None, np.zeros_like(truth))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def assert_margin_is_white(picture: np.ndarray) -> None:
    inside = np.zeros(picture.shape[:2], bool)
    edge = MARGIN // 2
    inside[edge:-edge, edge:-edge] = True
    assert (picture[~inside] == 255).all(), "something runs into the margin"
    assert (picture[inside] != 255).any(), "the picture is empty"


@pytest.mark.parametrize("size", [(60, 80), (700, 510), (1480, 2149)])
def test_panels_stand_side_by_side_in_the_manifests_colours(
    manifest: Manifest, tmp_path: Path, size: tuple[int, int]
) -> None:
    panel_picture(tmp_path / "p.png", [draw_row(*size)], manifest)
    picture = pixels(tmp_path / "p.png")
    assert_margin_is_white(picture)
    boxes = []
    for color in [(90, 90, 90), (0, 255, 0), (0, 0, 255)]:
        here = (picture == color).all(axis=2)
        rows = np.flatnonzero(here.sum(axis=1) > 100)
        columns = np.flatnonzero(here.sum(axis=0) > 100)
        boxes.append((rows[0], rows[-1], columns[0], columns[-1]))
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    assert len(set(tops)) == len(set(bottoms)) == 1
    assert lefts[1] - lefts[0] == lefts[2] - lefts[1]
    height, width = bottoms[0] - tops[0] + 1, rights[0] - lefts[0] + 1
    assert max(height, width) == 480
    assert height / width == pytest.approx(size[0] / size[1], rel=0.01)


def test_the_truth_column_is_left_out_where_no_scene_has_a_mask(
    manifest: Manifest, tmp_path: Path
) -> None:
    bare = draw_row(50, 50, masked=False)
    panel_picture(tmp_path / "two.png", [bare], manifest)
    panel_picture(tmp_path / "three.png", [bare, draw_row(50, 50)], manifest)
    assert pixels(tmp_path / "two.png").shape[1] < pixels(tmp_path / "three.png").shape[1]
    assert not (pixels(tmp_path / "two.png")[:, 600:] == (0, 255, 0)).all(axis=2).any()


def test_many_long_class_names_break_into_lines_within_the_margin(
    manifest: Manifest, tmp_path: Path
) -> None:
    classes = [
        {"name": f"a rather long class name, number {i}", "color": f"#0000{i:02X}"}
        for i in range(20)
    ]
    many = Manifest.model_validate(manifest.model_dump() | {"classes": classes, "unscored": []})
    legend_picture(tmp_path / "legend.png", many)
    panel_picture(tmp_path / "panel.png", [draw_row(50, 50)], many)
    for name in ("legend.png", "panel.png"):
        assert_margin_is_white(pixels(tmp_path / name))


@pytest.mark.parametrize(
    "names",
    [
        ("a", "b"),
        ("background", "low vegetation", "impervious surfaces of every kind"),
        tuple(f"class number {i}" for i in range(20)),
    ],
)
def test_confusion_matrices_of_any_size_stay_within_the_margin(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    matrix = np.random.default_rng(0).integers(0, 10**9, (len(names), len(names)))
    matrix[0] = 0
    confusion_picture(tmp_path / "c.png", matrix, names, "a run, test split, EMA model")
    assert_margin_is_white(pixels(tmp_path / "c.png"))


def test_confusion_cells_are_darker_the_larger_their_share_of_the_row(tmp_path: Path) -> None:
    confusion_picture(tmp_path / "c.png", np.array([[9, 1], [30, 70]]), ("aa", "bb"))
    picture = pixels(tmp_path / "c.png").astype(int)
    blue = picture[..., 2] - picture[..., 0] > 30
    columns = np.flatnonzero(blue.any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    first, second = (
        picture[:, : middle - 4][blue[:, : middle - 4]],
        picture[:, middle:][blue[:, middle:]],
    )
    assert np.median(first.sum(axis=1)) < np.median(second.sum(axis=1))


def test_the_texts_of_a_confusion_matrix_do_not_grow_with_the_square_of_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    draw = Canvas.text
    monkeypatch.setattr(
        Canvas, "text", lambda page, *place, **look: texts.append(draw(page, *place, **look))
    )
    for count in (31, 120):
        texts.clear()
        matrix = np.ones((count, count), int) + 9 * count * np.eye(count, dtype=int)
        confusion_picture(tmp_path / "c.png", matrix, [f"class {i}" for i in range(count)])
        assert len(texts) < 4 * count
        picture = pixels(tmp_path / "c.png").astype(int)
        assert_margin_is_white(picture)
        blue = (picture[..., 2] - picture[..., 0] > 60).any(axis=1)
        assert np.diff(blue.astype(int)).clip(0).sum() >= count, "a right cell in each row"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_994, "9.99 k"),
        (9_996, "10.0 k"),
        (99_960, "100 k"),
        (999_600, "1.00 M"),
        (12_345_678, "12.3 M"),
        (3_100_000_000, "3.10 G"),
    ],
)
def test_counts_are_short_and_never_show_a_thousand_of_a_unit(count: int, text: str) -> None:
    assert short_count(count) == text


def draw_metrics(steps: int) -> list[dict[str, object]]:
    return [
        {"step": i, "loss": 1 / (i + 1), "loss_distill": math.nan if i == 3 else 0.5, "note": "x"}
        for i in range(steps)
    ]


@pytest.mark.parametrize("steps", [1, 5, 300])
def test_curves_of_short_and_long_runs_are_drawn(tmp_path: Path, steps: int) -> None:
    curves_picture(tmp_path / "loss.png", draw_metrics(steps))
    scored = [*draw_metrics(steps), {"step": 10**6, "miou_ema": 0.71, "miou_student": 0.7}]
    curves_picture(tmp_path / "both.png", scored)
    alone, both = pixels(tmp_path / "loss.png"), pixels(tmp_path / "both.png")
    assert_margin_is_white(alone)
    assert_margin_is_white(both)
    assert both.shape[1] > 1.8 * alone.shape[1]


@pytest.mark.parametrize("metrics", [[], [{"step": 1, "lr": 0.1}], [{"loss": 1.0}]])
def test_curves_without_a_number_to_draw_are_refused(
    tmp_path: Path, metrics: list[dict[str, object]]
) -> None:
    with pytest.raises(RunError, match="no loss and no mIoU"):
        curves_picture(tmp_path / "c.png", metrics)
    assert not list(tmp_path.iterdir())


def test_bytes_do_not_depend_on_the_users_matplotlib_settings(
    manifest: Manifest, tmp_path: Path
) -> None:
    def draw(name: str) -> list[bytes]:
        paths = [tmp_path / f"{name}{i}.png" for i in range(3)]
        panel_picture(paths[0], [draw_row(50, 50)], manifest)
        confusion_picture(paths[1], np.array([[9, 1], [30, 70]]), ("a", "b"))
        curves_picture(paths[2], draw_metrics(5))
        return [path.read_bytes() for path in paths]

    plain = draw("plain")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert draw("loud") == plain
        assert mpl.rcParams["font.size"] == 30
