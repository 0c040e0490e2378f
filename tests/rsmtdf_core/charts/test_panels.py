"""Panels are complete, aligned, and in the manifest's colors."""

from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.charts.panels import PanelRow, error_colors, legend_picture, panel_picture
from rsmtdf_core.charts.style import MARGIN
from rsmtdf_core.scenes.manifest import Manifest
from tests.pictures import assert_margin_is_white, pixels

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


@pytest.mark.parametrize("size", [(60, 80), (700, 510), (1480, 2149)])
def test_panels_are_side_by_side_in_the_manifests_colors(
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


def test_errors_are_a_column_of_right_wrong_and_ignored_pixels(
    manifest: Manifest, tmp_path: Path
) -> None:
    truth = np.zeros((48, 96), np.uint8)
    truth[:, 32:64], truth[:, 64:] = 2, manifest.ignore_id
    ids = np.zeros_like(truth)
    colors = error_colors(truth, ids, manifest)
    right, wrong, ignored = (tuple(colors[0, column]) for column in (0, 40, 90))
    assert ignored == (0, 0, 0)
    assert len({right, wrong, ignored}) == 3
    row = PanelRow("s", np.full((48, 96, 3), 90, np.uint8), truth, ids)
    panel_picture(tmp_path / "p.png", [row], manifest, errors=True)
    picture = pixels(tmp_path / "p.png")
    assert_margin_is_white(picture)
    column = picture[:, -MARGIN - 480 : -MARGIN]
    for color in (right, wrong):
        assert (column == color).all(axis=2).sum() >= 160 * 240
    bare = draw_row(50, 50, masked=False)
    panel_picture(tmp_path / "bare.png", [bare, row], manifest, errors=True)


def test_the_truth_column_is_omitted_if_no_scene_has_a_mask(
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
