"""Inference on scenes of any size, whole or in windows."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.inference import nearest_multiple, predict_logits
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import window_starts

WHOLE = InferenceSettings()
SLIDE = InferenceSettings(mode="slide", window=28, overlap=0.33, batch=3)


class Recorder:
    """A pixel-wise linear model that remembers the shapes it saw."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.weight = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])

    def __call__(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return torch.einsum("cd,bdhw->bchw", self.weight, images)


def draw_image(height: int, width: int) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(height * width))


@pytest.mark.parametrize(
    ("length", "expected"), [(3, 14), (14, 14), (20, 14), (21, 28), (509, 504), (544, 546)]
)
def test_a_side_is_resized_to_the_nearest_multiple_at_least_one(length: int, expected: int) -> None:
    assert nearest_multiple(length, 14) == expected


def test_whole_is_resize_predict_resize_with_aligned_corners() -> None:
    image, model = draw_image(45, 31), Recorder()
    logits = predict_logits(model, image, WHOLE, 14)
    resized = F.interpolate(image[None], (42, 28), mode="bilinear", align_corners=True)
    expected = F.interpolate(Recorder()(resized), (45, 31), mode="bilinear", align_corners=True)
    assert model.shapes == [(1, 3, 42, 28)]
    torch.testing.assert_close(logits, expected[0])


def test_whole_leaves_a_scene_of_fitting_size_as_it_is() -> None:
    image = draw_image(28, 42)
    assert torch.equal(predict_logits(Recorder(), image, WHOLE, 14), Recorder()(image[None])[0])


@pytest.mark.parametrize("size", [(28, 28), (61, 90), (29, 28), (10, 50), (5, 7)])
def test_sliding_a_pixelwise_model_gives_its_logits_at_every_pixel(size: tuple[int, int]) -> None:
    image = draw_image(*size)
    logits = predict_logits(Recorder(), image, SLIDE, 14)
    torch.testing.assert_close(logits, Recorder()(image[None])[0])


def test_sliding_never_gives_the_model_more_than_a_batch_of_windows() -> None:
    model = Recorder()
    predict_logits(model, draw_image(100, 70), SLIDE, 14)
    windows = len(window_starts(100, 28, 0.33)) * len(window_starts(70, 28, 0.33))
    assert sum(shape[0] for shape in model.shapes) == windows
    assert max(shape[0] for shape in model.shapes) == SLIDE.batch
    assert {shape[1:] for shape in model.shapes} == {(3, 28, 28)}


def test_sliding_averages_where_windows_overlap() -> None:
    counter = iter(range(2))

    def model(images: Tensor) -> Tensor:
        return torch.full((1, 1, *images.shape[-2:]), float(next(counter)))

    one_at_a_time = InferenceSettings(mode="slide", window=28, overlap=0.5, batch=1)
    logits = predict_logits(model, draw_image(28, 42), one_at_a_time, 14)
    assert logits[0, 0, [0, 13, 14, 27, 28, 41]].tolist() == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_logits_are_float32_even_from_a_half_precision_model() -> None:
    for how in (WHOLE, SLIDE):
        logits = predict_logits(lambda images: images.bfloat16(), draw_image(30, 30), how, 14)
        assert logits.dtype == torch.float32
        assert not logits.requires_grad


def test_a_window_that_the_model_cannot_take_is_refused_with_the_nearest_that_it_can() -> None:
    how = InferenceSettings(mode="slide", window=512)
    with pytest.raises(ConfigError, match="multiple of the model's patch size of 14 px") as caught:
        predict_logits(Recorder(), draw_image(20, 20), how, 14)
    assert caught.value.remedy == "set inference.window to 518"


@pytest.mark.parametrize("wrong", [{"overlap": 1.0}, {"window": 0}, {"batch": 0}, {"mode": "tile"}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InferenceSettings.model_validate(wrong)
