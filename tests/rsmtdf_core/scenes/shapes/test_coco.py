"""Labels in COCO files, as the reader and the check see them."""

import numpy as np
import pytest

from rsmtdf_core.errors import DataError, MissingFileError
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
    coco,
    ring,
    write_image,
    write_json,
)

from .test_bitmaps import BITMAP, TEXT, runs_of


@pytest.fixture
def root(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    return tmp_path


def ids_of(root, document, name="a", **encoding) -> np.ndarray:
    write_json(root / "labels.json", document)
    dataset = find_scenes(annotated_manifest(**encoding), root)
    [scene] = [scene for scene in dataset.splits["train"] if scene.id == name]
    return SceneReader(dataset).mask(scene)


def test_polygons_are_drawn_in_pixels(root):
    roofs = {"category_id": 2, "segmentation": [ring(1, 1, 3, 3), ring(10, 1, 12, 3)]}
    ids = ids_of(root, coco(["a.png"], [{"segmentation": [ring(2, 3, 5, 6)]}, roofs]))
    expected = np.full((HEIGHT, WIDTH), NONE)
    expected[3:6, 2:5] = ROAD
    expected[1:3, 1:3] = expected[1:3, 10:12] = ROOF
    assert (ids == expected).all()


@pytest.mark.parametrize("counts", [TEXT, runs_of(BITMAP)])
@pytest.mark.parametrize("crowd", [0, 1])
def test_runs_are_drawn_as_their_class(root, counts, crowd):
    height, width = BITMAP.shape
    write_image(root / "images" / "a.png", (width, height))
    runs = {"size": [height, width], "counts": counts}
    image = {"file_name": "a.png", "width": width, "height": height}
    ids = ids_of(root, coco([image], [{"segmentation": runs, "iscrowd": crowd}]))
    assert (ids == np.where(BITMAP, ROAD, NONE)).all()


def test_names_become_classes_or_are_ignored(root):
    shapes = [
        {"category_id": number, "segmentation": [ring(3 * number, 0, 3 * number + 3, 3)]}
        for number in range(1, 5)
    ]
    document = coco(["a.png"], shapes, ("car", "bus", "unsure", "lawn"))
    values = {"car": "road", "bus": "road", "lawn": "land"}
    ids = ids_of(root, document, values=values, ignore=["unsure"])
    assert ids[1, 3:15:3].tolist() == [ROAD, ROAD, NONE, LAND]
    with pytest.raises(
        DataError, match=r"no class has these categories: 'bus' \(1\), 'lawn' \(1\)"
    ):
        ids_of(root, document, values={"car": "road"}, ignore=["unsure"])


def test_categories_without_annotations_need_no_class(root):
    document = coco(["a.png"], [{"segmentation": [ring(0, 0, 3, 3)]}], ("road", "things"))
    assert (ids_of(root, document) == ROAD).sum() == 9


@pytest.mark.parametrize(("annotated", "blank"), [("everywhere", LAND), ("nonempty", None)])
def test_listed_images_without_shapes_are_background_or_not_labeled(root, annotated, blank):
    for name in "bc":
        write_image(root / "images" / f"{name}.png")
    write_json(
        root / "labels.json", coco(["a.png", "b.png"], [{"segmentation": [ring(0, 0, 3, 3)]}])
    )
    manifest = annotated_manifest(background="land", annotated=annotated)
    dataset = find_scenes(manifest, root)
    first, second, third = dataset.splits["train"]
    assert (SceneReader(dataset).mask(first) == LAND).sum() == WIDTH * HEIGHT - 9
    assert third.mask is None, "no file lists it"
    assert (second.mask is None) == (blank is None)
    if blank is not None:
        assert (SceneReader(dataset).mask(second) == blank).all()
    assert check_dataset(manifest, root).splits[0].labeled == 1 + (blank is not None)


def test_shapes_may_mark_the_annotated_area(root):
    shapes = [
        {"segmentation": [ring(0, 0, 9, 9)], "category_id": 3},
        {"segmentation": [ring(2, 2, 5, 5)]},
    ]
    document = coco(["a.png"], shapes, ("road", "roof", "done"))
    ids = ids_of(root, document, background="land", annotated={"values": ["done"]})
    assert [(ids == value).sum() for value in (ROAD, LAND, NONE)] == [9, 72, WIDTH * HEIGHT - 81]


def test_pixels_of_boxes_are_ignored_and_counted(root):
    shapes = [
        {"segmentation": [ring(0, 0, 6, 6)]},
        {"segmentation": [], "bbox": [4, 4, 4, 4]},
        {"bbox": [20, 1, 2, 2]},
    ]
    ids = ids_of(root, coco(["a.png"], shapes), background="land", annotated="everywhere")
    assert [(ids == value).sum() for value in (ROAD, NONE)] == [32, 20]
    [note] = [
        note
        for note in check_dataset(annotated_manifest(), root).notes
        if note.startswith("labels.json")
    ]
    assert note.startswith(
        "labels.json: 2 box annotations without an outline, such as annotation 2"
    )


def test_a_file_of_boxes_is_refused(root):
    with pytest.raises(DataError, match="all 1 annotations are boxes without an outline"):
        ids_of(root, coco(["a.png"], [{"segmentation": [], "bbox": [4, 4, 4, 4]}]))


def test_degenerate_and_crossing_outlines_are_reported(root):
    bow = [0, 0, 4, 4, 4, 0, 0, 4]
    shapes = [{"segmentation": [[1, 1, 2, 2]]}, {"segmentation": [bow]}]
    write_json(root / "labels.json", coco(["a.png"], shapes))
    notes = check_dataset(annotated_manifest(), root).notes
    assert "labels.json: no geometry in 1 shape, such as annotation 1" in notes
    assert any("1 invalid shape repaired, such as annotation 2 (Self-int" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.png", "images/a.png"),
        ("./images/a.png", "images/a.png"),
        ("x/a.png", "images/x/a.png"),
        ("x\\a.png", "images/x/a.png"),
        ("../../media/upload/1/a.png", "images/a.png"),
        ("C:\\data\\x\\a.png", "images/x/a.png"),
        ("s3://bucket/x/a.png", "images/a.png"),
        ("a_png.rf.0f3c9e.png", "images/a.png"),
        ("a_png.rf.0f3c9e.png", "images/a_png.rf.0f3c9e.png"),
        ("e\u0301.png", "images/\u00e9.png"),
    ],
)
def test_the_names_of_tools_find_their_image(tmp_path, name, image):
    write_image(tmp_path / image)
    pattern = "images/{part}/{name}.*" if "x/" in image else "images/{name}.*"
    write_json(
        tmp_path / "labels.json",
        coco(
            ["other.png", name], [{"image_id": 2, "bbox": None, "segmentation": [ring(0, 0, 3, 3)]}]
        ),
    )
    dataset = find_scenes(annotated_manifest(images=pattern), tmp_path)
    assert (SceneReader(dataset).mask(dataset.splits["train"][0]) == ROAD).sum() == 9
    assert dataset.notes == ("labels.json: 1 listed image of 2 missing, such as other.png",)


def test_another_folder_is_another_image(root):
    write_image(root / "images" / "x" / "a.png")
    write_image(root / "images" / "y" / "a.png")
    document = coco(["x/a.png"], [{"segmentation": [ring(0, 0, 3, 3)]}])
    write_json(root / "labels.json", document)
    dataset = find_scenes(annotated_manifest(images="images/{part}/{name}.png"), root)
    assert [scene.mask for scene in dataset.splits["train"]] == ["labels.json", None]


def test_the_longer_name_wins(root):
    write_image(root / "images" / "x" / "a.png")
    document = coco(["a.png", "x/a.png"], [{"image_id": 2, "segmentation": [ring(0, 0, 3, 3)]}])
    write_json(root / "labels.json", document)
    dataset = find_scenes(annotated_manifest(images="images/{part}/{name}.png"), root)
    assert (SceneReader(dataset).mask(dataset.splits["train"][0]) == ROAD).sum() == 9


def problems_of(root, document, **manifest) -> list[str]:
    """The problems that the check lists, after the command that trains refused them too."""
    write_json(root / "labels.json", document)
    with pytest.raises((DataError, MissingFileError)):
        find_scenes(annotated_manifest(**manifest), root)
    return [
        problem.what for problem in check_dataset(annotated_manifest(**manifest), root).problems
    ]


SHAPE = {"segmentation": [ring(0, 0, 3, 3)]}


def test_images_that_cannot_be_told_apart_are_refused(root):
    for part in "xy":
        write_image(root / "images" / part / "a.png")
    [problem] = problems_of(root, coco(["a.png"], [SHAPE]), images="images/{part}/{name}.png")
    assert problem == "a.png may be images/x/a.png or images/y/a.png, and the file has it once"


def test_an_image_that_is_listed_twice_is_refused(root):
    [problem] = problems_of(root, coco(["a.png", "a.png"], [SHAPE]))
    assert problem == "2 images of the file may be images/a.png: a.png, a.png"
    augmented = ["a_png.rf.01.png", "a_png.rf.02.png"]
    [problem] = problems_of(root, coco(augmented, [SHAPE]))
    assert problem == f"2 images of the file may be images/a.png: {', '.join(augmented)}"


def test_another_size_is_refused(root):
    image = {"file_name": "a.png", "width": 640, "height": 640}
    [problem] = problems_of(root, coco([image], [SHAPE]))
    assert problem == "images/a.png has 24 x 16 px, its labels are of 640 x 640 px"


def test_labels_of_the_image_without_its_orientation_are_refused(root):
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    write_image(root / "images" / "a.png", exif=exif)
    [problem] = problems_of(root, coco(["a.png"], [SHAPE]))
    assert problem.endswith("of 24 x 16 px: they lack the turn of its EXIF orientation")
    shown = {"file_name": "a.png", "width": HEIGHT, "height": WIDTH}
    ids = ids_of(root, coco([shown], [{"segmentation": [ring(0, 20, 3, 24)]}]))
    assert ids.shape == (WIDTH, HEIGHT)
    assert (ids[20:, :3] == ROAD).all()


def test_files_of_none_of_the_images_are_refused(root):
    [problem] = problems_of(root, coco(["b.png"], [SHAPE]))
    assert problem.startswith("the file lists none of the images")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": None}, "categories: Input should be a valid array"),
        ({"images": [{"id": 1}]}, "images.0.file_name: Field required"),
        ({"annotations": [SHAPE]}, "annotations.0.image_id"),
        ({"annotations": [{"image_id": 7, "category_id": 1}]}, "of the image 7, which is missing"),
        ({"annotations": [{"image_id": 1, "category_id": 7}]}, "category 7, which is missing"),
        (
            {
                "annotations": [
                    {
                        "image_id": 1,
                        "category_id": 1,
                        "segmentation": [[1, 1, 2, 2, float("nan"), 1]],
                    }
                ]
            },
            "no COCO instances file",
        ),
        (
            {
                "annotations": [
                    {"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 2, 2, 3, 1, 5]]}
                ]
            },
            "odd number of coordinates",
        ),
        (
            {
                "annotations": [
                    {
                        "image_id": 1,
                        "category_id": 1,
                        "segmentation": {"size": [5, 7], "counts": TEXT},
                    }
                ]
            },
            "has 7 x 5 px, its image 24 x 16 px",
        ),
        (
            {
                "annotations": [
                    {
                        "image_id": 1,
                        "category_id": 1,
                        "segmentation": {"size": [16, 24], "counts": TEXT},
                    }
                ]
            },
            "do not fill an image of 24 x 16 px",
        ),
    ],
)
def test_damaged_files_are_refused(root, change, message):
    [problem] = problems_of(root, coco(["a.png"], []) | change)
    assert message in problem


def test_a_missing_file_and_other_formats_are_refused(root):
    manifest = annotated_manifest()
    (root / "labels.json").write_text("{]")
    with pytest.raises(DataError, match="no COCO instances file"):
        find_scenes(manifest, root)
    write_json(root / "labels.json", {"type": "FeatureCollection", "features": []})
    with pytest.raises(DataError, match="no COCO instances file: images: Field required"):
        find_scenes(manifest, root)
