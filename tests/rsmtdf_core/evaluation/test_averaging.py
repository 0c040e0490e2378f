"""Averages over resized and mirrored copies of a scene, which are aligned with each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from rsmtdf_core.evaluation.averaging import averaged_logits, scene_logits
from rsmtdf_core.evaluation.inference import predict_logits
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.student.resizing import resize_map

FLIPS = st.sets(st.sampled_from(["horizontal", "vertical"])).map(tuple)
SLIDE = {"mode": "slide", "window": 28, "overlap": 0.33}
WEIGHT = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [-1.0, 0.3, 0.7]])


def pointwise(images: Tensor) -> Tensor:
    """A model that looks at each pixel alone."""
    return torch.einsum("cd,bdhw->bchw", WEIGHT, images)


def lopsided(images: Tensor) -> Tensor:
    """A model whose output depends on the position of a pixel and on the size of the input."""
    height, width = images.shape[-2:]
    slope = torch.linspace(0, 2, height)[:, None] - torch.linspace(-1, 3, width)
    return pointwise(images) + torch.stack([slope, -slope, torch.zeros_like(slope)])


def draw_image(height: int, width: int) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(height * width))


@pytest.mark.parametrize("mode", [{}, SLIDE])
def test_one_copy_gives_the_logits_as_they_are(mode: dict[str, object]) -> None:
    image, how = draw_image(45, 61), InferenceSettings.model_validate(mode)
    assert torch.equal(
        scene_logits(lopsided, image, how, 14), predict_logits(lopsided, image, how, 14)
    )


@given(
    height=st.integers(20, 70),
    width=st.integers(20, 70),
    flips=FLIPS,
    mode=st.sampled_from([{}, SLIDE]),
)
@settings(max_examples=30)
def test_flips_have_no_effect_on_a_pointwise_model(
    height: int, width: int, flips: tuple[str, ...], mode: dict[str, object]
) -> None:
    image = draw_image(height, width)
    plain = predict_logits(pointwise, image, InferenceSettings.model_validate(mode), 14)
    flipped = InferenceSettings.model_validate(mode | {"flips": flips})
    actual = scene_logits(pointwise, image, flipped, 14)
    torch.testing.assert_close(actual.softmax(0), plain.softmax(0), atol=1e-4, rtol=1e-4)


@given(
    sides=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    scales=st.lists(st.sampled_from([0.5, 0.75, 1.0, 1.25, 2.0]), min_size=1, unique=True),
    flips=FLIPS,
    mode=st.sampled_from([{}, SLIDE]),
)
@settings(max_examples=30)
def test_a_pointwise_model_names_the_same_classes_at_any_size_and_in_any_mirror(
    sides: tuple[int, int], scales: list[float], flips: tuple[str, ...], mode: dict[str, object]
) -> None:
    rows, columns = (14 * side for side in sides)
    # Linear over the scene, so that a resize there and back keeps it.
    ramp = torch.linspace(-30, 31, rows)[:, None] + torch.linspace(-10, 10.5, columns)
    image = torch.stack([ramp, torch.zeros_like(ramp), torch.zeros_like(ramp)])
    how = InferenceSettings.model_validate(mode | {"scales": scales, "flips": flips})
    actual = scene_logits(pointwise, image, how, 14)
    assert actual.shape == (3, rows, columns)
    expected = pointwise(image[None])[0]
    first, second = expected.topk(2, dim=0).values
    decided = first - second > 0.01
    assert decided.float().mean() > 0.9
    assert torch.equal(actual.argmax(0)[decided], expected.argmax(0)[decided])
    torch.testing.assert_close(actual.softmax(0), expected.softmax(0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("mode", [{}, SLIDE])
def test_it_is_the_mean_of_the_probabilities_of_every_size_and_mirror(
    mode: dict[str, object],
) -> None:
    image = draw_image(42, 56)
    plain = InferenceSettings.model_validate(mode)
    settings = {"scales": [0.5, 1.0], "flips": ["horizontal", "vertical"]}
    how = InferenceSettings.model_validate(mode | settings)
    expected = []
    # Half of 42 x 56 is 21 x 28 px, and the nearest multiples of 14 are 28 x 28.
    for size in ((28, 28), (42, 56)):
        copy = resize_map(image[None], size)[0]
        for axes in ([], [2], [1]):
            logits = predict_logits(lopsided, copy.flip(axes), plain, 14).flip(axes)
            expected.append(resize_map(logits[None], (42, 56))[0].softmax(0))
    actual = scene_logits(lopsided, image, how, 14)
    torch.testing.assert_close(actual.softmax(0), torch.stack(expected).mean(0))
    torch.testing.assert_close(actual.exp().sum(0), torch.ones(42, 56))


def test_many_images_are_averaged_as_each_alone() -> None:
    images = torch.stack([draw_image(28, 42), draw_image(42, 28).reshape(3, 28, 42)])
    how = InferenceSettings(scales=(0.5, 1.0, 1.5), flips=("horizontal", "vertical"))
    actual = averaged_logits(lopsided, images, how, 14)
    for image, logits in zip(images, actual, strict=True):
        torch.testing.assert_close(logits, scene_logits(lopsided, image, how, 14))


@pytest.mark.parametrize("mode", [{}, SLIDE])
def test_the_model_is_given_sides_that_it_takes(mode: dict[str, object]) -> None:
    sizes = set()

    def model(images: Tensor) -> Tensor:
        sizes.add(images.shape[-2:])
        return pointwise(images)

    how = InferenceSettings.model_validate(mode | {"scales": [0.3, 0.77, 1.31], "flips": []})
    actual = scene_logits(model, draw_image(47, 95), how, 14)
    assert actual.shape == (3, 47, 95)
    expected = {(28, 28)} if mode else {(14, 28), (42, 70), (56, 126)}
    assert {tuple(size) for size in sizes} == expected


def test_logarithms_are_finite_for_probabilities_of_zero() -> None:
    image = 1000 * draw_image(28, 28)
    how = InferenceSettings(flips=("horizontal",))
    actual = scene_logits(pointwise, image, how, 14)
    assert actual.isfinite().all()
    assert torch.equal(actual.argmax(0), pointwise(image[None])[0].argmax(0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scales": []}, "scales: give at least one"),
        ({"scales": [0.0]}, "greater than or equal to 0.01"),
        ({"scales": [1.0, 1]}, "scales: give each value once"),
        ({"flips": ["diagonal"]}, "'horizontal' or 'vertical'"),
        ({"flips": ["vertical", "vertical"]}, "flips: give each value once"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InferenceSettings.model_validate(wrong)
