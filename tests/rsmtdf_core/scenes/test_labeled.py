"""Labeled scenes chosen by their images; shares are in test_find.py, lists in test_splits.py."""

import pytest
from PIL import Image

from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.labeled import LabeledImages, choose_labeled
from rsmtdf_core.validation import validate

from .conftest import make_manifest

AREAS = {"north": ("a", "b", "c"), "south": ("a", "d")}


@pytest.fixture
def dataset(tmp_path):
    """Five images of four windows in two areas, and one for testing; south/d has no mask."""
    for area, names in {**AREAS, "test": ("t",)}.items():
        for name in names:
            for kind in ("images", "masks"):
                (tmp_path / area / kind).mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8)).save(tmp_path / area / kind / f"{name}.png")
    (tmp_path / "south" / "masks" / "d.png").unlink()
    manifest = make_manifest(
        images="{area}/images/{name}.png",
        masks="{area}/masks/{name}.png",
        window={"size": 4, "stride": 4},
        splits={"train": {"where": {"area": list(AREAS)}}, "test": {"where": {"area": ["test"]}}},
    )
    return find_scenes(manifest, tmp_path)


def chosen(dataset, seed=0, **rule):
    scenes = dataset.splits["train"]
    labeled, unlabeled = choose_labeled(dataset, scenes, LabeledImages(**rule), seed)
    assert {scene.id for scene in (*labeled, *unlabeled)} == {scene.id for scene in scenes}
    assert len(labeled) + len(unlabeled) == len(scenes)
    return [scene.id for scene in labeled]


def test_all_windows_of_named_images_are_labeled(dataset):
    labeled = chosen(dataset, images=("north/b", "south/images/a.png"))
    assert {name.partition("@")[0] for name in labeled} == {"north/b", "south/a"}
    assert len(labeled) == 8


def test_a_condition_chooses_images_and_skips_those_without_a_mask(dataset):
    assert {name.partition("@")[0] for name in chosen(dataset, where={"area": ("south",)})} == {
        "south/a"
    }
    both = chosen(dataset, where={"area": ("north", "south"), "name": ("a",)})
    assert {name.partition("@")[0] for name in both} == {"north/a", "south/a"}


def test_a_share_of_the_images_scenes_is_drawn_by_the_seed(dataset):
    half = chosen(dataset, where={"area": ("north",)}, share=0.5)
    assert len(half) == 6
    assert set(chosen(dataset, where={"area": ("north",)}, share=0.25)) < set(half)
    assert (
        len(
            {
                tuple(sorted(chosen(dataset, seed, images=("north/a",), share=0.5)))
                for seed in range(8)
            }
        )
        > 1
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"images": ("north/bb",)},
            "no training image is named 'north/bb', did you mean 'north/b'",
        ),
        ({"images": ("north/b@4,0",)}, "'north/b@4,0' is a window.*write 'north/b' for all"),
        ({"images": ("test/t",)}, "'test/t' is in split test"),
        ({"images": ("north/a", "south/d")}, "1 image without a mask, the first is south/images/d"),
        ({"where": {"area": ("nort",)}}, "no training scene has area 'nort', did you mean 'north'"),
        ({"where": {"area": ("test",)}}, "no training scene has area 'test'"),
        ({"where": {"are": ("north",)}}, "'are' is not a field of the images pattern, did you"),
        ({"where": {"name": ("d",)}}, "none of 4 training scenes has a mask"),
    ],
)
def test_choices_that_fit_no_training_image_are_refused(dataset, rule, message):
    with pytest.raises(DataError, match=f"(?s){message}"):
        chosen(dataset, **rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "expected either images or where"),
        ({"images": ["a"], "where": {"area": ["north"]}}, "expected either images or where"),
        ({"images": ["a"], "share": 0}, "share"),
        ({"where": {"area": []}}, "where.area"),
    ],
)
def test_incoherent_choices_are_refused(rule, message):
    with pytest.raises(ConfigError, match=message):
        validate(LabeledImages, rule, "config")
