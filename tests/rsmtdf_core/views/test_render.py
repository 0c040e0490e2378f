import itertools
import pickle
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps
from torchvision.transforms import functional as ops

from rsmtdf_core.views.plan import Box, Geometry, Photometric, make_plan
from rsmtdf_core.views.render import (
    ViewRenderer,
    crop_crc,
    paste,
    render_image,
    render_mask,
    render_photometric,
    valid_pixels,
)
from rsmtdf_core.views.settings import ViewSettings

CROP = 42


def reference_crop(picture: Image.Image, geometry: Geometry, crop: int, fill: int) -> np.ndarray:
    """Resize all of the scene, pad, crop, mirror: the reference method step by step; then turn."""
    if picture.mode == "L":
        picture = picture.resize((geometry.width, geometry.height), Image.Resampling.NEAREST)
    else:
        picture = picture.resize((geometry.width, picture.height), Image.Resampling.BILINEAR)
        picture = picture.resize((geometry.width, geometry.height), Image.Resampling.BILINEAR)
    padding = (0, 0, max(0, crop - geometry.width), max(0, crop - geometry.height))
    picture = ImageOps.expand(picture, border=padding, fill=fill)
    left, top = geometry.left, geometry.top
    picture = picture.crop((left, top, left + crop, top + crop))
    picture = ImageOps.mirror(picture) if geometry.flip else picture
    picture = ImageOps.flip(picture) if geometry.vertical_flip else picture
    return np.asarray(picture.rotate(90 * geometry.quarter_turns))


@st.composite
def cuts(draw):
    width, height = draw(st.integers(1, 160)), draw(st.integers(1, 160))
    left = draw(st.integers(0, max(0, width - CROP)))
    top = draw(st.integers(0, max(0, height - CROP)))
    flips = draw(st.booleans()), draw(st.booleans())
    return Geometry(width, height, left, top, *flips, draw(st.integers(0, 3)))


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=150, deadline=None)
@given(cut=cuts(), height=st.integers(1, 120), width=st.integers(1, 120), seed=st.integers(0, 99))
def test_a_view_is_the_scene_resized_padded_cropped_and_mirrored(cut, height, width, seed):
    image = noise(height, width, seed)
    expected = reference_crop(Image.fromarray(image), cut, CROP, 0)
    off = np.abs(render_image(image, cut, CROP).astype(int) - expected)
    assert off.max() <= 2  # one rounding in each of the two passes


@pytest.mark.parametrize("width", [201, 333, 400, 557, 799])
def test_almost_every_pixel_is_exactly_that_of_the_resized_scene(width):
    image, cut = noise(300, 400, 4), Geometry(width, width * 3 // 4, width // 9, 5, True)
    expected = reference_crop(Image.fromarray(image), cut, 140, 0)
    assert (render_image(image, cut, 140) != expected).mean() < 0.01


@settings(max_examples=150, deadline=None)
@given(cut=cuts(), height=st.integers(1, 120), width=st.integers(1, 120), seed=st.integers(0, 99))
def test_a_mask_is_cut_exactly_as_the_reference_cuts_it(cut, height, width, seed):
    mask = noise(height, width, seed)[..., 0]
    expected = reference_crop(Image.fromarray(mask), cut, CROP, 255)
    np.testing.assert_array_equal(render_mask(mask, cut, CROP, 255), expected)


def test_a_scene_at_its_size_is_not_resampled():
    image = noise(80, 100, 0)
    view = render_image(image, Geometry(100, 80, 13, 7, False), CROP)
    np.testing.assert_array_equal(view, image[7 : 7 + CROP, 13 : 13 + CROP])


@given(cut=cuts())
def test_image_mask_and_valid_pixels_agree_on_the_padding(cut):
    image, mask = np.full((20, 30, 3), 9, np.uint8), np.full((20, 30), 3, np.uint8)
    valid = valid_pixels(cut, CROP)
    np.testing.assert_array_equal(
        render_image(image, cut, CROP), np.where(valid[..., None], image[0, 0], 0)
    )
    np.testing.assert_array_equal(render_mask(mask, cut, CROP, 255), np.where(valid, 3, 255))
    assert valid.sum() == min(CROP, cut.width) * min(CROP, cut.height)


@pytest.mark.parametrize("flip", [False, True])
def test_padding_is_right_and_bottom_before_the_mirror(flip):
    valid = valid_pixels(Geometry(30, 20, 0, 0, flip), CROP)
    assert valid[:20, 12:].all() if flip else valid[:20, :30].all()
    assert valid.sum() == 30 * 20


def rendered(cut: Geometry) -> list[np.ndarray]:
    """The image, mask and valid pixels of a view."""
    image = noise(60, 50, 1)
    mask = render_mask(image[..., 0] % 7, cut, CROP, 255)
    return [render_image(image, cut, CROP), mask, valid_pixels(cut, CROP)]


@given(cut=cuts())
def test_an_oriented_view_is_the_plain_view_flipped_and_turned(cut):
    plain = rendered(replace(cut, flip=False, vertical_flip=False, quarter_turns=0))
    for view, expected in zip(rendered(cut), plain, strict=True):
        mirrored = np.fliplr(expected) if cut.flip else expected
        mirrored = np.flipud(mirrored) if cut.vertical_flip else mirrored
        np.testing.assert_array_equal(view, np.rot90(mirrored, cut.quarter_turns))
        assert view.flags.c_contiguous


def test_flips_and_quarter_turns_give_eight_orientations():
    cuts = itertools.product((False, True), (False, True), range(4))
    views = {
        render_image(noise(60, 50, 1), Geometry(80, 60, 9, 5, *cut), CROP).tobytes() for cut in cuts
    }
    assert len(views) == 8


@pytest.mark.parametrize("order", [(), (3,), (0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
@pytest.mark.parametrize(("grayscale", "sigma"), [(False, 0.0), (True, 0.0), (True, 1.3)])
def test_photometric_changes_are_torchvisions_in_the_drawn_order(order, grayscale, sigma):
    view = noise(CROP, CROP, 2)
    change = Photometric(order, 1.4, 0.6, 1.3, -0.2, grayscale, sigma)
    picture = Image.fromarray(view)
    for operation in order:
        if operation == 0:
            picture = ops.adjust_brightness(picture, 1.4)
        elif operation == 1:
            picture = ops.adjust_contrast(picture, 0.6)
        elif operation == 2:
            picture = ops.adjust_saturation(picture, 1.3)
        else:
            picture = ops.adjust_hue(picture, -0.2)
    if grayscale:
        picture = ops.rgb_to_grayscale(picture, num_output_channels=3)
    if sigma:
        picture = picture.filter(ImageFilter.GaussianBlur(radius=sigma))
    np.testing.assert_array_equal(render_photometric(view, change), np.asarray(picture))


def test_the_order_of_the_jitter_matters():
    view = noise(CROP, CROP, 2)
    first, second = (
        render_photometric(view, Photometric(order, 1.4, 0.6, 1.3, 0.2, False, 0.0))
        for order in [(0, 1), (1, 0)]
    )
    assert (first != second).any()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_paste_shows_the_other_within_the_box_and_changes_neither(channels):
    image, other = np.zeros((6, 8, *channels), np.uint8), np.ones((6, 8, *channels), np.uint8)
    mixed = paste(image, other, Box(left=5, top=1, width=3, height=4))
    assert mixed[1:5, 5:8].all()
    assert mixed.sum() == 12 * max(1, *channels, 1)
    assert not image.any()
    assert other.all()
    assert not paste(image, other, None).any()


def test_the_crc_is_that_of_the_bytes_and_sees_one_changed_pixel():
    view = noise(CROP, CROP, 3)
    assert crop_crc(view) == zlib.crc32(view.tobytes()) == crop_crc(np.asfortranarray(view))
    changed = view.copy()
    changed[1, 2, 0] ^= 1
    assert crop_crc(changed) != crop_crc(view)


@pytest.fixture
def plan(make_scenes):
    scenes = make_scenes(12)
    return make_plan(scenes[:2], scenes[2:], ViewSettings(crop=CROP, cutmix={"p": 0.7}), 5)


@pytest.fixture
def renderer(reader, plan):
    return ViewRenderer(reader, plan)


def test_a_batch_of_pairs_equals_the_reference(renderer, plan):
    """The reference stacks strong views and pastes from the batch reversed: mirrored places."""
    pairs = plan.unlabeled_pairs(0)
    rows = [*pairs[:, 0].tolist(), *pairs[::-1, 1].tolist()]
    batch = np.stack(
        [render_photometric(renderer.weak(row), plan[row].photometric) for row in rows]
    )
    boxes = np.zeros(batch.shape, np.bool_)
    for index, row in enumerate(rows):
        if (box := plan[row].box) is not None:
            boxes[index, box.top : box.top + box.height, box.left : box.left + box.width] = True
    expected, mirrored = batch.copy(), batch[::-1]
    expected[boxes] = mirrored[boxes]
    assert boxes.any()
    assert (expected != batch).any()
    np.testing.assert_array_equal(np.stack([renderer.mixed(row) for row in rows]), expected)


def test_mixed_views_are_the_pasted_strong_views(renderer, plan):
    for row in plan.unlabeled_pairs(1).ravel().tolist():
        view = plan[row]
        strong = render_photometric(renderer.weak(row), view.photometric)
        np.testing.assert_array_equal(renderer.strong(row), strong)
        expected = paste(strong, renderer.strong(view.partner), view.box)
        np.testing.assert_array_equal(renderer.mixed(row), expected)


def test_other_photometrics_can_be_asked_for_and_leave_the_planned_ones(renderer, plan):
    row = int(plan.unlabeled_pairs(0)[0, 0])
    grey = Photometric((), 1.0, 1.0, 1.0, 0.0, True, 0.0)
    planned = renderer.strong(row).copy()
    fresh = renderer.strong(row, grey)
    np.testing.assert_array_equal(fresh, render_photometric(renderer.weak(row), grey))
    np.testing.assert_array_equal(renderer.strong(row), planned)


@pytest.mark.parametrize("seen", ["mixed", "strong", "weak"])
def test_teachers_see_the_configured_views_and_weak_labeled_views(reader, make_scenes, seen):
    scenes = make_scenes(6)
    chosen = ViewSettings(crop=CROP, cutmix={"p": 1.0}, jitter={"p": 1.0}, teacher_sees=seen)
    renderer = ViewRenderer(reader, make_plan(scenes[:2], scenes[2:], chosen, 0))
    row = int(renderer.plan.unlabeled_pairs(0)[0, 0])
    views = {name: getattr(renderer, name)(row) for name in ("mixed", "strong", "weak")}
    same = [name for name, view in views.items() if np.array_equal(view, renderer.taught_view(row))]
    assert same == [seen]
    labeled = int(renderer.plan.labeled_rows(0)[0])
    np.testing.assert_array_equal(renderer.taught_view(labeled), renderer.weak(labeled))


@settings(max_examples=30, deadline=None)
@given(cut=cuts(), bands=st.integers(4, 6), seed=st.integers(0, 99))
def test_further_bands_are_cut_like_grey_pictures_and_leave_the_first_three(cut, bands, seed):
    image = np.random.default_rng(seed).integers(0, 256, (50, 60, bands), np.uint8)
    view = render_image(image, cut, CROP)
    np.testing.assert_array_equal(view[..., :3], render_image(image[..., :3], cut, CROP))
    for band in range(3, bands):
        grey = np.repeat(image[..., band : band + 1], 3, axis=2)
        np.testing.assert_array_equal(view[..., band], render_image(grey, cut, CROP)[..., 0])


def test_further_bands_become_brighter_richer_in_contrast_and_blurred_but_have_no_colour():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    change = Photometric((1, 3, 0, 2), 1.3, 0.7, 1.5, 0.1, True, 0.8)
    view = render_photometric(image, change)
    np.testing.assert_array_equal(view[..., :3], render_photometric(image[..., :3], change))
    grey = ops.adjust_brightness(ops.adjust_contrast(Image.fromarray(image[..., 3]), 0.7), 1.3)
    expected = grey.filter(ImageFilter.GaussianBlur(radius=0.8))
    np.testing.assert_array_equal(view[..., 3], np.asarray(expected))


def test_masks_match_their_views(reader, renderer, plan):
    for row in plan.labeled_rows(0).tolist():
        mask, valid = renderer.mask(row), renderer.valid(row)
        np.testing.assert_array_equal(mask == 255, ~valid)
        whole = reader.mask(plan.scenes[plan[row].scene])
        np.testing.assert_array_equal(mask, render_mask(whole, plan[row].geometry, CROP, 255))


def test_a_pair_opens_each_scene_once(reader, renderer, plan):
    for row in plan.unlabeled_pairs(0)[0].tolist():
        renderer.weak(row)
        renderer.mixed(row)
    assert len(reader.opened) == len(set(reader.opened)) == 2


def test_a_batch_may_be_rendered_weak_first(reader, renderer, plan):
    rows = [int(row) for number in range(3) for row in plan.unlabeled_pairs(number).ravel()]
    for render in (renderer.weak, renderer.strong):
        for row in rows:
            render(row)
    assert len(reader.opened) == len(rows)


def test_kept_views_cannot_be_changed_by_their_users(renderer):
    with pytest.raises(ValueError, match="read-only"):
        renderer.weak(0)[0, 0] = 1


def test_a_renderer_crosses_process_borders_without_its_views(renderer, plan):
    row = int(plan.unlabeled_pairs(0)[0, 0])
    before = renderer.mixed(row)
    sent = pickle.dumps(renderer)
    assert len(sent) < len(pickle.dumps(plan)) + 2000
    np.testing.assert_array_equal(pickle.loads(sent).mixed(row), before)


def test_labeled_views_have_no_strong_view(renderer, plan):
    with pytest.raises(AssertionError, match="labeled"):
        renderer.strong(int(plan.labeled_rows(0)[0]))
