"""Dice and Lovasz-softmax against plain sums over sets of pixels, image by image."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.training.region_losses import dice_loss, lovasz_loss

IGNORED, CLASSES = 255, 4
LOSSES = [dice_loss, lovasz_loss]


def drawn(seed, images=3, side=5, scale=3.0):
    """Logits and masks with ignored pixels; the last image has no label."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(images, CLASSES, side, side, generator=generator)
    masks = torch.randint(0, CLASSES - 1, (images, side, side), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < 0.3] = IGNORED
    masks[-1] = IGNORED
    return logits, masks.to(torch.uint8)


def plain(logits, masks, loss_of_class):
    """The mean over the classes of one image of a loss of its probabilities and labels, float64 [P]."""
    labeled = (masks != IGNORED).numpy().ravel()
    chances = logits.double().softmax(dim=0).flatten(1).numpy()[:, labeled]
    ids = masks.numpy().ravel()[labeled]
    losses = [loss_of_class(chances[c], (ids == c).astype(float)) for c in np.unique(ids)]
    return np.mean(losses) if losses else 0.0


def plain_dice(chances, labels):
    return 1 - 2 * (chances * labels).sum() / ((chances**2).sum() + (labels**2).sum())


def plain_lovasz(chances, labels):
    """The Lovasz extension: errors times the growth of the Jaccard loss of the pixels that are wrong so far."""
    errors = np.abs(labels - chances)
    total, wrong, before = 0.0, np.zeros(len(labels), bool), 0.0
    for pixel in np.argsort(-errors, kind="stable"):
        wrong[pixel] = True
        predicted = np.where(wrong, 1 - labels, labels)
        union = np.maximum(predicted, labels).sum()
        jaccard = 1 - (predicted * labels).sum() / union if union else 0.0
        total += errors[pixel] * (jaccard - before)
        before = jaccard
    return total


@pytest.mark.parametrize(
    ("loss", "expected"), [(dice_loss, plain_dice), (lovasz_loss, plain_lovasz)]
)
@given(st.integers(0, 2**31))
def test_each_image_has_the_plain_loss_of_its_labeled_pixels(loss, expected, seed):
    logits, masks = drawn(seed)
    losses = loss(logits, masks, IGNORED)
    assert losses.dtype == torch.float32
    values = [plain(*image, expected) for image in zip(logits, masks, strict=True)]
    np.testing.assert_allclose(losses.numpy(), values, rtol=1e-4, atol=1e-5)
    assert losses[-1] == 0, "an image without labels"


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sure_prediction_of_the_labels_has_no_loss_and_its_opposite_all(loss):
    masks = torch.tensor([[[0, 1], [2, IGNORED]]], dtype=torch.uint8)
    ids = torch.where(masks == IGNORED, 0, masks.long())
    right = 50 * torch.nn.functional.one_hot(ids, CLASSES).permute(0, 3, 1, 2).float()
    assert float(loss(right, masks, IGNORED)) == pytest.approx(0, abs=1e-6)
    assert float(loss(-right, masks, IGNORED)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_pixels_without_a_label_have_no_gradient_and_labeled_ones_a_finite_one(loss):
    logits, masks = drawn(1)
    logits.requires_grad_()
    loss(logits, masks, IGNORED).sum().backward()
    ignored = (masks == IGNORED)[:, None].expand_as(logits)
    assert bool((logits.grad[ignored] == 0).all())
    assert bool(torch.isfinite(logits.grad).all())
    assert bool((logits.grad[~ignored] != 0).any())


@pytest.mark.parametrize("loss", LOSSES)
def test_an_id_of_ignored_pixels_among_the_classes_is_ignored_too(loss):
    logits, masks = drawn(2)
    low = torch.where(masks == IGNORED, CLASSES - 1, masks)  # drawn leaves out the last class
    torch.testing.assert_close(loss(logits, low, CLASSES - 1), loss(logits, masks, IGNORED))
