"""Copies go to a single split, for every rule that proposes splits."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import Layout, guess_splits, part_copies
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import split_pairs
from rsmtdf_core.scenes.scene import ScenePair

LAYOUTS = {
    "{name}": lambda number: {"name": f"t{number}"},
    "{area}/{name}": lambda number: {"area": f"a{number % 5}", "name": f"t{number // 5}"},
    "{split}/{name}": lambda number: {
        "split": ("train", "train", "test")[number % 3],
        "name": f"t{number}",
    },
}


def proposed(pattern: str, contents: list[int], bare: set[int]):
    """The guess for images with these contents, its pairs by split, the groups of copies, and the manifest."""
    pairs = []
    for number, _ in enumerate(contents):
        fields = LAYOUTS[pattern](number)
        path = "/".join(fields.values())
        mask = None if number in bare else f"masks/{path}.png"
        pairs.append(ScenePair(path, fields, f"images/{path}.png", mask))
    masked = tuple((pair.fields, pair.mask is not None) for pair in pairs)
    layout = Layout((f"images/{pattern}.png",), f"masks/{pattern}.png", masked, (), (), "")
    guess = guess_splits(layout)
    groups: dict[int, list[str]] = {}
    for pair, content in zip(pairs, contents, strict=True):
        groups.setdefault(content, []).append(pair.image)
    copies = [group for group in groups.values() if len(group) > 1]
    return guess, pairs, copies, layout


def members_of(guess, pairs, layout):
    manifest = Manifest.model_validate(
        {
            "name": "t",
            "title": "t",
            "classes": [{"name": "a", "color": "#000000"}],
            "images": layout.images[0],
            "masks": layout.masks,
            "mask_encoding": {"encoding": "indices"},
            "splits": {name: spec.model_dump() for name, spec in guess.splits.items()},
        }
    )
    return split_pairs(manifest, sorted(pairs, key=lambda pair: pair.id))


@given(
    pattern=st.sampled_from(sorted(LAYOUTS)),
    contents=st.lists(st.integers(0, 25), min_size=8, max_size=40),
    bare=st.sets(st.integers(0, 39), max_size=12),
)
def test_no_two_splits_share_content_and_no_image_is_lost_if_all_are_drawn(pattern, contents, bare):
    guess, pairs, copies, layout = proposed(pattern, contents, bare)
    before = members_of(guess, pairs, layout)
    try:
        parted = part_copies(guess, before, copies)
    except DataError:
        assert "split" in pattern
        return
    after = members_of(parted, pairs, layout)
    content = {pair.image: number for pair, number in zip(pairs, contents, strict=True)}
    held = [{content[pair.image] for pair in members} for members in after.values()]
    assert len(set().union(*held)) == sum(map(len, held))
    assert all(after.values())
    if "split" not in pattern:
        counts = Counter(pair.id for members in after.values() for pair in members)
        assert counts == Counter(pair.id for members in before.values() for pair in members)
    scored_before = any(p.mask is None for s, m in before.items() if s != "train" for p in m)
    if not scored_before:
        assert all(p.mask for s, m in after.items() if s != "train" for p in m)


def test_areas_that_share_an_image_are_dealt_out_together():
    contents = list(range(25))
    contents[1] = 0  # areas a0 and a1
    guess, pairs, copies, layout = proposed("{area}/{name}", contents, set())
    assert guess.unit == "area"
    after = members_of(part_copies(guess, members_of(guess, pairs, layout), copies), pairs, layout)
    areas = {split: {pair.fields["area"] for pair in members} for split, members in after.items()}
    assert sum(map(len, areas.values())) == 5
    assert areas["train"] >= {"a0", "a1"}


def test_splits_without_shared_copies_stay_as_they_are():
    guess, pairs, _, layout = proposed("{name}", list(range(20)), set())
    members = members_of(guess, pairs, layout)
    within = [[pair.image for pair in members["train"][:3]]]
    assert part_copies(guess, members, within) == guess


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_sizes_stay_about_as_they_were(share):
    contents = [number if number > 100 * share else 0 for number in range(100)]
    guess, pairs, copies, layout = proposed("{name}", contents, set())
    before = members_of(guess, pairs, layout)
    after = members_of(part_copies(guess, before, copies), pairs, layout)
    assert {name: len(some) for name, some in after.items()} == {
        name: len(some) for name, some in before.items()
    }
