"""Folds for cross-validation: over tiles, crops and blocks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.find import OpenedImage, find_scenes
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.members import refuse_shared, split_pairs, split_scenes
from rsmtdf_core.scenes.scene import ScenePair, cut_scenes
from rsmtdf_core.validation import validate

from .conftest import make_manifest, manifest_values


def folded(folds, by="parent", seed=0, **changes):
    """A manifest with one fold for testing, one for validation from three folds on, and the rest for training."""
    numbers = {"test": [0], "val": [1] if folds > 2 else []}
    numbers["train"] = [n for n in range(folds) if n not in (*numbers["test"], *numbers["val"])]
    splits = {
        name: {"folds": values, "by": by, "seed": seed}
        for name, values in numbers.items()
        if values
    }
    return make_manifest(**{"folds": folds, "splits": splits, **changes})


def split_names(manifest, names, unmasked=0):
    """The ids of each split's scenes, for images of 40 x 40 px in this order; the last by name have no mask."""
    bare = sorted(names)[len(names) - unmasked :]
    fields = manifest.fields
    pairs = [
        ScenePair(
            name,
            dict(zip(fields, name.split("/"), strict=True)),
            name,
            None if name in bare else "m",
        )
        for name in names
    ]
    images = {
        pair.id: OpenedImage(
            list(cut_scenes(pair, (40, 40), manifest.window)), Frame(40, 40), False, None
        )
        for pair in pairs
    }
    splits, *_ = split_scenes(manifest, split_pairs(manifest, pairs), images)
    refuse_shared(manifest, splits)
    return {split: [scene.id for scene in scenes] for split, scenes in splits.items()}


@given(
    folds=st.integers(2, 6),
    units=st.integers(6, 12),
    by=st.sampled_from(["parent", "crop", "tile", "window", "block"]),
    unmasked=st.integers(0, 3),
    seed=st.integers(0, 99),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_each_scene_is_tested_in_exactly_one_fold(folds, units, by, unmasked, seed, order):
    changes = {}
    names = [f"i{number}" for number in range(units + unmasked)]
    if by == "tile":
        changes = {
            "images": "c/{tile}_{name}.png",
            "masks": "m/{tile}_{name}.png",
            "parent": ["tile"],
        }
        names = [f"t{number}/{crop}" for number in range(units + unmasked) for crop in "ab"]
        unmasked *= 2
    if by in ("window", "block"):
        changes = {"window": {"size": 20, "stride": 20}}
    if by == "block":
        changes["blocks"] = {"size": 20, "unit": "px"}
    kind = {"tile": "parent", "window": "crop"}.get(by, by)
    manifest = folded(folds, kind, seed, **changes)
    tested, everything = [], None
    for fold in range(folds):
        splits = split_names(manifest.with_fold(fold), names, unmasked)
        members = [name for split in splits.values() for name in split]
        assert len(members) == len(set(members)), "no scene is in two splits"
        assert everything in (None, set(members)), "every fold uses all scenes"
        everything = set(members)
        tested += splits["test"]
        shuffled = order.sample(names, len(names))
        assert {
            k: set(v) for k, v in split_names(manifest.with_fold(fold), shuffled, unmasked).items()
        } == {k: set(v) for k, v in splits.items()}
        if folds > 2:
            assert (
                splits["val"]
                == split_names(manifest.with_fold((fold + 1) % folds), names, unmasked)["test"]
            )
    bare = set(sorted(names)[len(names) - unmasked :])
    masked = {name for name in everything if name.partition("@")[0] not in bare}
    assert sorted(tested) == sorted(masked)


def test_folds_have_similar_sizes():
    manifest = folded(5)
    sizes = [
        len(split_names(manifest.with_fold(fold), [f"i{n}" for n in range(23)])["test"])
        for fold in range(5)
    ]
    assert sorted(sizes) == [4, 4, 5, 5, 5]


def test_a_fixed_test_split_stays_and_validation_takes_the_folds(tmp_path):
    for area, count in {"north": 4, "south": 2}.items():
        for number in range(count):
            for kind in ("images", "masks"):
                (tmp_path / area / kind).mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 6), 1).save(tmp_path / area / kind / f"{number}.png")
    north = {"where": {"area": ["north"]}}
    manifest = make_manifest(
        images="{area}/images/{name}.png",
        masks="{area}/masks/{name}.png",
        folds=4,
        splits={
            "train": {**north, "folds": [1, 2, 3]},
            "val": {**north, "folds": [0]},
            "test": {"where": {"area": ["south"]}},
        },
    )
    validated = []
    for fold in range(4):
        splits = find_scenes(manifest.with_fold(fold), tmp_path).splits
        assert {scene.id for scene in splits["test"]} == {"south/0", "south/1"}
        validated += [scene.id for scene in splits["val"]]
    assert sorted(validated) == [f"north/{number}" for number in range(4)]
    assert manifest.with_fold(3).splits["train"].describe() == "area north, folds 0, 1, 2 (seed 0)"


def test_fewer_images_with_masks_than_folds_are_refused():
    with pytest.raises(DataError, match="5 folds need as many images or tiles with masks, found 4"):
        split_names(folded(5), [f"i{n}" for n in range(6)], unmasked=2)


def test_a_fold_that_the_manifest_lacks_is_refused():
    with pytest.raises(ConfigError, match="the manifest synthetic has no folds"):
        load_manifest("synthetic", 0)
    with pytest.raises(ConfigError, match="expected a fold from 0 to 4, found 5"):
        folded(5).with_fold(5)
    manifest = folded(5)
    assert manifest.with_fold(0) == manifest
    assert manifest.with_fold(2).with_fold(3) == manifest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 5}, "no split names any"),
        ({"splits": {"train": {"folds": [0]}}}, "so `folds` must be set"),
        ({"folds": 2, "splits": {"train": {"folds": [2]}}}, "expected numbers below 2, found 2"),
        (
            {"folds": 3, "splits": {"train": {"folds": [0, 1]}, "test": {"folds": [1]}}},
            "fold 1 is named twice",
        ),
        (
            {"folds": 3, "splits": {"train": {"folds": [0], "share": [0, 0.5]}}},
            "share cannot be set",
        ),
        ({"folds": 3, "splits": {"train": {"folds": []}}}, "folds"),
        ({"folds": 1, "splits": {"train": {"folds": [0]}}}, "folds: expected greater"),
    ],
)
def test_incoherent_folds_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(Manifest, manifest_values(**changes), "tiny.yaml")
