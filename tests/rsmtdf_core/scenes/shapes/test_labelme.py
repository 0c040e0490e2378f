"""Labels in LabelMe files, as the reader and the check see them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.reader import SceneReader
from tests.annotations import (
    HEIGHT,
    LAND,
    NONE,
    ROAD,
    ROOF,
    WIDTH,
    annotated_manifest,
    labelme,
    write_image,
    write_json,
)

SQUARE = [[2, 3], [5, 3], [5, 6], [2, 6]]


def manifest(**encoding):
    return annotated_manifest("labels/{name}.json", **({"encoding": "labelme"} | encoding))


@pytest.fixture
def root(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    return tmp_path


def ids_of(root, shapes, keys=None, **encoding) -> np.ndarray:
    write_json(root / "labels" / "a.json", labelme(shapes, **(keys or {})))
    dataset = find_scenes(manifest(**encoding), root)
    return SceneReader(dataset).mask(dataset.splits["train"][0])


def mask_of(bitmap: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(bitmap).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_polygons_and_rectangles_are_drawn(root):
    shapes = [
        {"points": SQUARE},
        {"points": [[12, 8], [10, 6]], "shape_type": "rectangle", "label": "roof"},
        {"points": SQUARE, "shape_type": None},  # of old versions
    ]
    expected = np.full((HEIGHT, WIDTH), NONE)
    expected[3:6, 2:5] = ROAD
    expected[6:8, 10:12] = ROOF
    assert (ids_of(root, shapes) == expected).all()


def test_a_circle_has_a_center_and_a_point_on_its_border(root):
    drawn = ids_of(root, [{"points": [[10, 8], [10, 12]], "shape_type": "circle"}]) == ROAD
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.hypot(rows - 8, columns - 10)
    assert drawn[distance < 3.95].all()
    assert not drawn[distance > 4.05].any()


@pytest.mark.parametrize(
    ("kind", "points", "rows"),
    [
        ("line", [[0, 8], [24, 8]], range(6, 10)),
        ("linestrip", [[0, 4], [12, 4], [24, 4]], range(2, 6)),
        ("point", [[12, 8]], []),
    ],
)
def test_lines_and_points_need_a_buffer_in_pixels(root, kind, points, rows):
    shapes = [{"points": points, "shape_type": kind}]
    with pytest.raises(DataError, match="1 of 1 shape are lines or points") as error:
        ids_of(root, shapes)
    assert "the distance around them in pixels" in error.value.remedy
    drawn = ids_of(root, shapes, buffer=2) == ROAD
    assert np.flatnonzero(drawn.all(axis=1)).tolist() == list(rows)
    assert drawn.any()


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_a_mask_fills_its_box(root, dtype):
    bitmap = np.random.default_rng(0).random((4, 6)) > 0.5
    bitmap[0, 0] = True
    points = [[3, 5], [8, 8]]
    pixels = bitmap if dtype is bool else bitmap.astype(dtype) * 255
    shape = {"points": points, "shape_type": "mask", "mask": mask_of(pixels)}
    drawn = ids_of(root, [shape], all_touched=True) == ROAD
    assert (drawn[5:9, 3:9] == bitmap).all()
    assert drawn.sum() == bitmap.sum()


@pytest.mark.parametrize("mask", [None, "?", "AAAA", mask_of(np.ones((9, 9), bool))])
def test_damaged_masks_are_refused(root, mask):
    shape = {"points": [[3, 5], [8, 8]], "shape_type": "mask", "mask": mask}
    with pytest.raises(DataError, match="the mask of shape 1 is no picture of 6 x 4 px"):
        ids_of(root, [shape])


def test_labels_become_classes_or_are_ignored(root):
    shapes = [{"points": SQUARE, "label": "path"}, {"points": SQUARE, "label": "__ignore__"}]
    with pytest.raises(DataError, match=r"no class has these labels: 'path' \(1\), '__ignore__'"):
        ids_of(root, shapes)
    ids = ids_of(
        root, shapes[:1], values={"path": "road"}, background="land", annotated="everywhere"
    )
    assert [(ids == value).sum() for value in (ROAD, LAND)] == [9, WIDTH * HEIGHT - 9]
    known = {"values": {"path": "road"}, "ignore": ["__ignore__"]}
    ids = ids_of(root, shapes, **known, background="land", annotated="everywhere")
    assert (ids == NONE).sum() == 9


def test_images_without_a_file_are_not_labeled_and_empty_files_are_a_choice(root):
    write_image(root / "images" / "b.png")
    write_json(root / "labels" / "a.json", labelme([]))
    for annotated, labeled in (("everywhere", 1), ("nonempty", 0)):
        dataset = find_scenes(manifest(background="land", annotated=annotated), root)
        masks = [scene.mask for scene in dataset.splits["train"]]
        assert masks == (["labels/a.json", None] if labeled else [None, None])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"imageWidth": 640}, "images/a.png has 24 x 16 px, its labels are of 640 x 16 px"),
        ({"shapes": None}, "no LabelMe file: shapes: Input should be a valid array"),
        ({"shapes": [{"label": "road"}]}, "shapes.0.points: Field required"),
        (
            {"shapes": [{"label": "road", "points": [[1, 1]], "shape_type": "cuboid"}]},
            "shape 1 is of the unknown type 'cuboid'",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(root, keys, message):
    with pytest.raises(DataError) as error:
        ids_of(root, [], keys)
    assert message in error.value.what
    [problem] = check_dataset(manifest(), root).problems
    assert problem.what == error.value.what
    assert problem.file == "labels/a.json"


def test_old_files_without_a_size_are_read(root):
    ids = ids_of(root, [{"points": SQUARE}], {"imageWidth": None, "imageHeight": None})
    assert (ids == ROAD).sum() == 9


def test_a_file_of_another_image_and_degenerate_shapes_are_reported(root):
    shapes = [{"points": SQUARE[:2]}, {"points": SQUARE}]
    ids_of(root, shapes, {"imagePath": "..\\images\\b.png"})
    notes = check_dataset(manifest(), root).notes
    assert "labels/a.json: the labels name another image, such as b.png for images/a.png" in notes
    assert "labels/a.json: no geometry in 1 shape, such as shape 1" in notes
    ids_of(root, shapes[1:], {"imagePath": "..\\images\\a.jpg"})
    assert not any("another image" in note for note in check_dataset(manifest(), root).notes)


def test_labels_without_a_class_are_collected(root):
    for name, label in (("a", "path"), ("b", "pool"), ("c", "path")):
        write_image(root / "images" / f"{name}.png")
        shape = {"points": SQUARE, "label": label}
        write_json(root / "labels" / f"{name}.json", labelme([shape], f"{name}.png"))
    result = check_dataset(manifest(), root)
    assert {problem.kind for problem in result.problems} == {"unknown values"}
    [hint] = result.hints
    assert hint.startswith("all values without a class: 'path', 'pool'; add them")
