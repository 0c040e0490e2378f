"""Manifests proposed for images with labels in the files of annotation tools."""

import pytest

from pipeline.data.init import NamedClass, ShapeChoice, checked_draft, draft, look
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.find import find_scenes
from tests.annotations import coco, labelme, ring, write_image, write_json

SQUARE = {"segmentation": [ring(2, 2, 6, 6)]}
POINTS = [[2, 2], [6, 2], [6, 6], [2, 6]]


def proposed(root, classes=None, patterns=(None, None), **choice):
    looked = look(root, patterns=patterns, shapes=ShapeChoice(**choice))
    return checked_draft(draft(looked, root / "manifest.yaml", classes))[0]


def labeled_scenes(manifest, root):
    splits = find_scenes(manifest, root).splits
    return {name: sum(scene.mask is not None for scene in splits[name]) for name in splits}


def write_coco(root, path, images, folder="", **more):
    """Write images and a file that lists them, each with a square."""
    for image in images:
        write_image(root / folder / image)
    shapes = [SQUARE | {"image_id": number} for number in range(1, len(images) + 1)]
    return write_json(root / path, coco(images, shapes, **more))


def test_one_file_for_all_images(tmp_path):
    images = [f"{number}.png" for number in range(8)]
    write_coco(tmp_path, "result.json", images, "images")
    write_json(tmp_path / "notes.json", {"images": 8})
    manifest = proposed(tmp_path, background="land").manifest
    assert (manifest.images, manifest.masks) == ("images/{name}.png", "result.json")
    assert manifest.class_names == ("land", "road")
    assert (manifest.mask_encoding.encoding, manifest.mask_encoding.annotated) == (
        "coco",
        "everywhere",
    )
    assert sum(labeled_scenes(manifest, tmp_path).values()) == 8


@pytest.mark.parametrize(
    ("image", "labels", "folders"),
    [
        ("{}/{}_png.rf.0{}.png", "{}/_annotations.coco.json", ("train", "valid", "test")),
        ("images/{}/{}{}.png", "annotations/instances_{}.json", ("train", "val", "test")),
        ("{}/images/{}{}.png", "{}/labels.json", ("train", "val", "test")),
    ],
)
def test_one_file_for_each_split(tmp_path, image, labels, folders):
    for part in folders:
        paths = [image.format(part, number, part) for number in range(2)]
        for path in paths:
            write_image(tmp_path / path)
        shapes = [SQUARE | {"image_id": number} for number in (1, 2)]
        names = [path.rpartition("/")[2] for path in paths]
        write_json(tmp_path / labels.format(part), coco(names, shapes))
    manifest = proposed(tmp_path, background="land").manifest
    assert manifest.masks == labels.replace("{}", "{split}")
    assert labeled_scenes(manifest, tmp_path) == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize("folder", ["", "labels/", "images/"])
def test_a_labelme_file_for_each_image_and_scores_for_labeled_ones(tmp_path, folder):
    for number in range(16):
        write_image(tmp_path / "images" / f"scene_{number}.png")
        if number < 8:
            shape = {"points": POINTS, "label": "road" if number else "__ignore__"}
            write_json(tmp_path / f"{folder}scene_{number}.json", labelme([shape]))
    manifest = proposed(tmp_path, background="land").manifest
    assert manifest.masks == f"{folder}{{name}}.json"
    assert manifest.class_names == ("land", "road")
    assert manifest.mask_encoding.ignore == ("__ignore__",)
    counts = labeled_scenes(manifest, tmp_path)
    assert sum(counts.values()) == 8
    splits = find_scenes(manifest, tmp_path).splits
    assert counts["test"] == len(splits["test"]) > 0


def test_categories_are_merged_and_ignored(tmp_path):
    names = ("car", "bus", "tree", "unsure")
    shapes = [SQUARE | {"category_id": number} for number in range(1, 5)]
    write_image(tmp_path / "a.png")
    write_json(tmp_path / "labels.json", coco(["a.png"], shapes, names))
    values = (("car", "vehicle"), ("bus", "vehicle"))
    draft_of_all = proposed(tmp_path, values=values, ignore=("unsure",))
    assert draft_of_all.manifest.class_names == ("tree", "vehicle")
    assert draft_of_all.manifest.mask_encoding.values == dict(values)
    assert '{name: "vehicle", color: "#F2C14E"}    # 2 shapes' in draft_of_all.text
    assert "--background NAME" in draft_of_all.cautions[0]
    classes = [NamedClass("tree"), NamedClass("vehicle")]
    assert (
        proposed(tmp_path, classes, values=values, ignore=("unsure",), background="tree").cautions
        == ()
    )
    with pytest.raises(DataError, match=r"no class has these categories: 'bus' \(1\)"):
        proposed(tmp_path, classes, values=values[:1], ignore=("unsure",))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"labels": "other.json"}, "labels are missing"),
        ({"field": "kind"}, "COCO instances has no attributes"),
        ({"annotated": "area"}, "expected everywhere .all listed images. or nonempty"),
        ({"background": "lnd", "values": (("road", "rod"),)}, None),
    ],
)
def test_wrong_choices_are_refused(tmp_path, choice, message):
    write_coco(tmp_path, "labels.json", ["a.png", "b.png"])
    if message is None:
        assert proposed(tmp_path, **choice).manifest.class_names == ("lnd", "rod")
        return
    with pytest.raises((DataError, FileNotFoundError), match=message):
        proposed(tmp_path, **choice)


def test_files_that_do_not_belong_together_need_a_choice(tmp_path):
    write_coco(tmp_path, "first.json", ["a.png", "b.png"], "images")
    write_coco(tmp_path, "second.json", ["a.png", "b.png"], "images")
    with pytest.raises(DataError, match="2 files with labels, whose names do not follow"):
        look(tmp_path)
    assert proposed(tmp_path, labels="second.json").manifest.masks == "second.json"
    write_json(tmp_path / "images" / "a.json", labelme([{"points": POINTS}]))
    with pytest.raises(DataError, match=r"2 files with COCO instances: .*; 1 file with LabelMe"):
        look(tmp_path)


def test_masks_and_labels_exclude_each_other(tmp_path):
    write_coco(tmp_path, "labels.json", ["a.png", "b.png"], "images")
    for name in "ab":
        write_image(tmp_path / "masks" / f"{name}.png")
    with pytest.raises(DataError, match=r"the images have masks, masks/\{name\}\.png"):
        look(tmp_path, shapes=ShapeChoice(labels="labels.json"))
    manifest = proposed(
        tmp_path, patterns=(["images/{name}.png"], None), labels="labels.json"
    ).manifest
    assert manifest.masks == "labels.json"
