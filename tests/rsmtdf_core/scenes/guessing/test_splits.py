"""Folders name splits, areas stay together, and scenes without masks are not scored."""

import pytest

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import Layout, guess_splits


def layout(pattern: str, *pairs: tuple[dict[str, str], bool]) -> Layout:
    return Layout((pattern,), "masks/{name}.png", pairs, (), (), "")


def named(*counts: tuple[str, int, bool]) -> Layout:
    pairs = [
        ({"split": split, "name": f"{split}{number}"}, masked)
        for split, count, masked in counts
        for number in range(count)
    ]
    return layout("{split}/{name}.png", *pairs)


def test_three_folders_are_three_splits():
    splits = guess_splits(named(("train", 2, True), ("valid", 2, True), ("test", 2, True))).splits
    assert {name: spec.where["split"] for name, spec in splits.items()} == {
        "train": ("train",),
        "val": ("valid",),
        "test": ("test",),
    }


def test_a_test_folder_without_masks_is_not_scored():
    splits = guess_splits(named(("Train", 4, True), ("Val", 4, True), ("Test", 4, False))).splits
    assert splits["val"].where == splits["test"].where == {"split": ("Val",)}
    assert (splits["val"].share, splits["test"].share) == ((0, 0.5), (0.5, 1))


def test_without_val_a_part_of_train_is_set_aside():
    splits = guess_splits(named(("train", 4, True), ("test", 4, True))).splits
    assert list(splits) == ["train", "val", "test"]
    assert splits["train"].where == splits["val"].where
    assert splits["train"].share[1] == splits["val"].share[0]


def test_val_is_set_aside_from_scenes_with_masks():
    pairs = [
        ({"split": split, "name": f"{split}{number}"}, number < masked)
        for split, count, masked in (("train", 20, 9), ("test", 3, 3))
        for number in range(count)
    ]
    splits = guess_splits(layout("{split}/{name}.png", *pairs)).splits
    assert set(splits["val"].where["name"]) == {"train0", "train7"}
    assert len(splits["train"].where["name"]) == 18
    few = [pair for pair in pairs if pair[0]["name"] not in {f"train{n}" for n in range(5)}]
    splits = guess_splits(layout("{split}/{name}.png", *few)).splits
    assert list(splits) == ["train", "test"]
    assert splits["train"].where == {"split": ("train",)}


def test_folders_of_other_names_are_unlabeled_scenes_or_in_no_split():
    parts = (("train", 9, True), ("val", 3, True), ("test", 3, True))
    guess = guess_splits(named(*parts, ("unlabeled", 5, False), ("extra", 5, True)))
    assert guess.splits["train"].where == {"split": ("train", "unlabeled")}
    assert "extra in no split" in guess.why


def test_a_split_without_train_is_refused():
    with pytest.raises(DataError, match="train") as caught:
        guess_splits(named(("val", 4, True), ("test", 4, True)))
    assert caught.value.where == "{split}/{name}.png"


def test_areas_stay_together_and_the_largest_train():
    pairs = [
        ({"area": area, "name": f"{area}{number}"}, area != "c")
        for area, count in (("a", 9), ("b", 5), ("c", 2), ("d", 3), ("e", 4))
        for number in range(count)
    ]
    splits = guess_splits(layout("{area}/{name}.png", *pairs)).splits
    where = {name: spec.where["area"] for name, spec in splits.items()}
    assert where == {"train": ("a", "b", "c"), "val": ("d",), "test": ("e",)}, "c has no masks"


@pytest.mark.parametrize("count", range(1, 40))
def test_by_chance_no_split_is_empty(count):
    pairs = [({"name": f"{number}"}, True) for number in range(count)]
    splits = guess_splits(layout("{name}.png", *pairs)).splits
    sizes = [
        int(spec.share[1] * count + 0.5) - int(spec.share[0] * count + 0.5)
        for spec in splits.values()
    ]
    assert sum(sizes) == count
    assert min(sizes) >= 1
    assert len(sizes) == min(count, 3)


def test_scenes_without_masks_are_for_training():
    pairs = [({"name": f"{number:03}"}, number % 2 == 0) for number in range(60)]
    splits = guess_splits(layout("{name}.png", *pairs)).splits
    names = {name: set(spec.where["name"]) for name, spec in splits.items()}
    assert sum(map(len, names.values())) == len(set.union(*names.values())) == 60
    for scored in (names["val"], names["test"]):
        assert scored
        assert all(int(name) % 2 == 0 for name in scored)


def test_too_few_masks_are_all_for_training():
    pairs = [({"name": f"{number}"}, number < 2) for number in range(30)]
    assert list(guess_splits(layout("{name}.png", *pairs)).splits) == ["train"]
