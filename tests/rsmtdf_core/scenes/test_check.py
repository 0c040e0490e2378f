import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.problems import grouped

from .conftest import make_manifest


def problems(root, **changes):
    result = check_dataset(make_manifest(**changes), root)
    return {problem.file: problem.what for problem in result.problems}


def test_a_sound_dataset_is_counted_without_problems(root):
    steps = []
    result = check_dataset(make_manifest(), root, on_scene=lambda: steps.append(1))
    assert result.problems == ()
    assert result.notes == ()
    assert len(steps) == 4
    train = result.splits[0]
    assert (train.name, train.scenes, train.labeled, train.ignored) == ("train", 2, 2, 0)
    assert train.pixels == {"low": 48, "high": 48}


def test_every_wrong_file_is_named(root):
    (root / "images" / "s0.png").write_bytes(b"no image")
    Image.fromarray(np.ones((6, 7), np.uint8)).save(root / "masks" / "s1.png")
    Image.fromarray(np.full((6, 8), 9, np.uint8)).save(root / "masks" / "s2.png")
    Image.new("RGB", (8, 6)).save(root / "masks" / "s3.png")
    Image.new("L", (8, 6)).save(root / "masks" / "s4.png")
    reported = problems(root)
    assert list(reported) == [
        "images/s0.png",
        "masks/s1.png",
        "masks/s2.png",
        "masks/s3.png",
        "masks/s4.png",
    ]
    assert "cannot be read" in reported["images/s0.png"]
    assert "the mask has 7 x 6 px, its image 8 x 6 px" in reported["masks/s1.png"]
    assert reported["masks/s2.png"] == "no class has 9 (48 px)"
    assert "found 3 bands of uint8" in reported["masks/s3.png"]
    assert reported["masks/s4.png"] == "no image belongs to this mask"


def test_a_missing_mask_is_a_problem_in_scored_splits_and_unlabeled_in_training(root):
    (root / "masks" / "s1.png").unlink()
    splits = {"train": {"where": {"name": ["s0", "s3"]}}, "test": {"where": {"name": ["s1", "s2"]}}}
    assert "the mask is missing" in problems(root, splits=splits)["images/s1.png"]
    swapped = {"train": splits["test"], "test": splits["train"]}
    result = check_dataset(make_manifest(splits=swapped), root)
    assert result.problems == ()
    assert (result.splits[0].scenes, result.splits[0].labeled) == (2, 1)


def test_scenes_that_are_listed_as_labeled_need_a_mask(root):
    (root / "masks" / "s1.png").unlink()
    train = {"train": {"scenes": ["s0", "s1", "s2"]}}
    listed = {"splits": train, "labeled": ["s0", "s1"]}
    assert problems(root, **listed) == {
        "images/s1.png": "listed under `labeled`, but it has no mask"
    }
    assert problems(root, splits=train, labeled=["s0", "s2"]) == {}


BLACK_AND_WHITE = [{"name": "a", "color": "#000000"}, {"name": "b", "color": "#FFFFFF"}]


@pytest.mark.parametrize(
    ("values", "changes", "hint"),
    [
        (
            [0, 3, 100, 200, 255],
            {"classes": BLACK_AND_WHITE, "mask_encoding": {"encoding": "colors"}},
            "match: threshold",
        ),
        ([0, 1, 40, 90, 237], {"mask_encoding": {"encoding": "indices"}}, "match: threshold"),
        ([0, 1, 255], {"mask_encoding": {"encoding": "indices"}}, "mask_encoding.ignore"),
        (
            [0, 1, 255],
            {"classes": BLACK_AND_WHITE, "mask_encoding": {"encoding": "colors"}},
            "one encoding",
        ),
        (
            [0, 3, 5],
            {"classes": BLACK_AND_WHITE, "mask_encoding": {"encoding": "colors"}},
            None,
        ),
        ([0, 1, 5], {"mask_encoding": {"encoding": "indices"}}, None),
        ([0, 1], {"mask_encoding": {"encoding": "indices"}}, None),
    ],
)
def test_a_hint_solves_the_problem_of_all_masks(root, values, changes, hint):
    for mask in (root / "masks").iterdir():
        Image.fromarray(np.resize(np.array(values, np.uint8), (6, 8))).save(mask)
    result = check_dataset(make_manifest(**changes), root)
    assert [hint in text for text in result.hints] == ([] if hint is None else [True])


def test_a_hint_to_match_by_threshold_solves_the_problems(root):
    for mask in (root / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 3, 200, 255], np.uint8), (6, 8))).save(mask)
    exact = {"classes": BLACK_AND_WHITE, "mask_encoding": {"encoding": "colors"}}
    result = check_dataset(make_manifest(**exact), root)
    shown = grouped(result.problems, 3)
    assert len(result.problems) == 4
    assert [(problem.file, more) for problem, more in shown] == [
        ("masks/s0.png", 0),
        ("masks/s1.png", 0),
        ("masks/s2.png", 1),
    ]
    exact["mask_encoding"]["match"] = "threshold"
    result = check_dataset(make_manifest(**exact), root)
    assert (result.problems, result.hints) == ((), ())
    assert result.splits[0].pixels == {"a": 48, "b": 48}


def test_colors_in_a_lossy_format_are_recognized_by_their_number(root):
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    for number, mask in enumerate((root / "masks").iterdir()):
        Image.fromarray(colors + np.uint8(number)).save(mask)
    result = check_dataset(make_manifest(mask_encoding={"encoding": "colors"}), root)
    assert "match: nearest" in result.hints[0]


def test_problems_of_a_kind_are_grouped(root):
    for mask in (root / "masks").iterdir():
        mask.rename(mask.with_name(f"other_{mask.name}"))
    reported = check_dataset(make_manifest(), root).problems
    assert {problem.what for problem in reported} == {"no image belongs to this mask"}
    assert [more for _, more in grouped(reported, 1)] == [3]


def test_a_name_that_is_no_unicode_is_shown_as_latin_1(root):
    for kind in ("images", "masks"):
        (root / kind / "s0.png").rename(root / kind / os.fsdecode(b"caf\xe9.png"))
    assert problems(root) == {}
    next((root / "images").glob("caf*")).write_bytes(b"no image")
    assert list(problems(root)) == ["images/café.png"]


def test_odd_but_allowed_facts_are_noted(root):
    result = check_dataset(make_manifest(masks=None, splits={"train": {"share": [0, 0.5]}}), root)
    assert result.problems == ()
    assert result.notes == ("split train has no labeled scene", "2 images are in no split")


def test_absent_classes_are_noted(root):
    for mask in (root / "masks").iterdir():
        Image.fromarray(np.ones((6, 8), np.uint8)).save(mask)
    result = check_dataset(make_manifest(splits={"train": {}}), root)
    assert result.notes == ("split train has no pixel of high",)


def test_no_second_copy_of_a_raster_is_in_memory(root, monkeypatch):
    # As many rasters are open at a time.
    monkeypatch.setattr("rsmtdf_core.scenes.check.cpu_count", lambda: 1)
    for number in range(4):
        Image.new("RGB", (200, 12000), (number, 0, 0)).save(root / "images" / f"s{number}.png")
        Image.new("L", (200, 12000), 1).save(root / "masks" / f"s{number}.png")
    tracemalloc.start()
    result = check_dataset(make_manifest(), root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.problems == ()
    assert peak < 200 * 12000 * 3 / 2


def test_scenes_are_counted_as_windows(root):
    result = check_dataset(make_manifest(window={"size": 4, "stride": 4}), root)
    assert result.splits[0].scenes == 2 * 4


def test_the_loveda_sample_is_sound(shared):
    loveda = load_manifest("loveda")
    sample = loveda.model_copy(
        update={
            "images": "images/{name}.png",
            "masks": "masks/{name}.png",
            "splits": make_manifest(splits={"train": {}}).splits,
        }
    )
    result = check_dataset(sample, shared / "data" / "loveda_sample")
    (train,) = result.splits
    assert result.problems == ()
    assert (train.scenes, train.ignored) == (12, 0)
    # Counted with numpy alone: raw 1, 2, 4, 7 are background, building, water, agriculture.
    assert train.pixels["background"] == 142441 + 226400 + 8244
    assert train.pixels["building"] == 14427 + 3503
    assert train.pixels["water"] == 3888 + 244616 + 29109
    assert train.pixels["agriculture"] == 868612 + 528446 + 97166


@pytest.mark.slow
def test_dubai_is_sound_and_has_every_class_in_every_split(shared):
    result = check_dataset(load_manifest("dubai"), shared / "data" / "dubai")
    assert result.problems == ()
    assert result.notes == ()
    assert [split.labeled for split in result.splits] == [45, 9, 18]
    test = result.splits[2]
    assert min(test.pixels.values()) > 0.04 * sum(test.pixels.values())
