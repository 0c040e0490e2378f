"""A run's student as a module computes what evaluate and predict compute."""

import numpy as np
import pytest
import torch
from PIL import Image

import rsmtdf
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.inference import predict_logits
from rsmtdf_core.evaluation.settings import InferenceSettings


@pytest.fixture(scope="module")
def model(run):
    return rsmtdf.load_student(run)


def pixels(*shape, seed=0):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@pytest.mark.parametrize("size", [(64, 64), (72, 40), (33, 101), (5, 3)])
@torch.no_grad()
def test_logits_are_those_of_evaluate_at_any_size(model, size):
    images = pixels(2, 3, *size)
    logits = model(images)
    assert logits.shape == (2, len(model.class_names), *size)
    assert logits.dtype == torch.float32
    for image, batched in zip(images, logits, strict=True):
        normalised = model.student.normalise(image[None])[0]
        patch = model.student.encoder.patch
        whole = predict_logits(model.student.logits, normalised, InferenceSettings(), patch)
        torch.testing.assert_close(batched, whole)


@torch.no_grad()
def test_uint8_and_floating_point_images_give_the_same(model):
    images = pixels(1, 3, 64, 64)
    torch.testing.assert_close(model(images / 255), model(images), rtol=1e-4, atol=1e-4)


def test_classes_are_those_of_the_map_that_predict_writes(model, run, values, tmp_path):
    source = min((values["data"]["root"] / "images").iterdir())
    [map_file] = rsmtdf.predict(
        run, source, tmp_path, overrides={"evaluation.inference.window": 256}
    )
    image = torch.from_numpy(np.asarray(Image.open(source).convert("RGB")).copy())
    with torch.no_grad():
        ids = model(image.permute(2, 0, 1)[None])[0].argmax(0)
    written = torch.from_numpy(np.asarray(Image.open(map_file)).copy())
    assert (ids == written).float().mean() > 0.9
    assert model.class_names[0] == "water"
    assert len(model.colors) == len(model.class_names)


def test_it_can_be_trained_further(run):
    model = rsmtdf.load_student(run, weights="student", device="cpu").train()
    model(pixels(2, 3, 64, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.student.encoder.parameters())


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (pixels(3, 64, 64), r"expected images \[B, 3, H, W\], found \[3, 64, 64\]"),
        (pixels(1, 64, 64, 3), r"found \[1, 64, 64, 3\]"),
        (pixels(1, 3, 64, 64).float(), "expected floating-point images in 0..1"),
        (torch.full((1, 3, 64, 64), torch.nan), "values in nan..nan"),
        (pixels(1, 3, 64, 64).long(), "found torch.int64"),
    ],
)
def test_other_images_are_refused(model, images, sentence):
    with pytest.raises(DataError, match=sentence):
        model(images)
