"""A path has all readings that may distinguish images from masks and name their scene."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.scenes.guessing.names import HOLE, IMAGE_WORDS, MASK_WORDS, Form, readings

PARTS = st.text("ab_-. 1T", min_size=1, max_size=6) | st.sampled_from(
    ["masks", "train-labels", "img", "a_mask", "left_img_8bit", "gtFine", "dop", "images"]
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".png")


def filled(form, scene):
    """The path without its suffix that a form describes with these values."""
    values = iter(scene)
    texts = [
        "".join(next(values) if character == HOLE else character for character in text)
        for text in (*form.folders, form.name)
    ]
    assert next(values, None) is None, "a value without a hole"
    return "/".join(texts)


@given(PATHS)
def test_every_reading_gives_the_path_back(path):
    forms = list(readings(path))
    assert forms
    assert len(forms) <= 64 * 3 + 9
    for form, scene in forms:
        assert filled(form, scene) == path.rpartition(".")[0]
        assert scene[-1]


@pytest.mark.parametrize(
    ("path", "form", "scene"),
    [
        ("images/a.png", (("images",), HOLE), ("a",)),
        ("masks/a_mask.png", (("masks",), f"{HOLE}_mask"), ("a",)),
        ("train-labels/a.tif", ((f"{HOLE}-labels",), HOLE), ("train", "a")),
        ("train/img/a.png", ((HOLE, "img"), HOLE), ("train", "a")),
        ("mask_a.png", ((), f"mask_{HOLE}"), ("a",)),
        ("gtFine/b_gtFine_labelIds.png", (("gtFine",), f"{HOLE}_gtFine_labelIds"), ("b",)),
        ("dop/a.tif", (("dop",), HOLE), ("a",)),
    ],
)
def test_the_reading_that_people_mean_is_among_them(path, form, scene):
    assert (Form(*form), scene) in list(readings(path))


def test_a_form_names_a_mask_by_any_of_its_words():
    assert Form(("GT",), HOLE).says_mask
    assert Form((), f"{HOLE}_labelIds").says_mask
    assert not Form(("images",), HOLE).says_mask
    assert not Form(("maskerade",), HOLE).says_mask, "part of a word is not the word"
    assert MASK_WORDS.isdisjoint(IMAGE_WORDS)


def test_masks_are_identified_by_a_word_that_images_lack():
    images, masks = Form(("images",), HOLE), Form(("masks",), HOLE)
    assert masks.is_mask_of(images)
    assert not images.is_mask_of(masks)
    assert not masks.is_mask_of(masks)
    both = Form(("masks", "label"), HOLE)
    assert both.is_mask_of(masks)
    assert not masks.is_mask_of(both)


def test_class_masks_come_before_pictures_of_masks_and_of_objects():
    plain, color, objects = (Form((name,), HOLE) for name in ("masks", "color_masks", "instance"))
    assert plain.mask_drawbacks < color.mask_drawbacks < objects.mask_drawbacks


def test_true_colors_come_before_unnamed_folders_and_false_colors():
    drawbacks = [Form((name,), HOLE).image_drawbacks for name in ("rgb", "dop", "irrg")]
    assert drawbacks == [0, 1, 2]
