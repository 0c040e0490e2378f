import torch
import torch.nn.functional as F
from torch import nn

from rsmtdf_core.pixels import normalise
from rsmtdf_core.student.model import StudentOutput
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.objectives.base import (
    Models,
    labeled_loss,
    pseudo_labels,
    unlabeled_loss,
)
from rsmtdf_core.training.objectives.registry import OBJECTIVES, objective_class
from rsmtdf_core.training.settings import ObjectiveSettings
from rsmtdf_core.training.targets import Targets

SIDE, CLASSES = 8, 3


class _Model(nn.Module):
    """Logits and tokens that are plain functions of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, CLASSES, 1)

    def forward(self, images: torch.Tensor) -> StudentOutput:
        tokens = F.avg_pool2d(images, 4).permute(0, 2, 3, 1)
        return StudentOutput(self.logits(images), {"one": tokens, "two": 2 * tokens})

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return 4 * self.mix(images)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        return normalise(images)


def _batch() -> Batch:
    torch.manual_seed(1)
    images = torch.randint(0, 256, (4, 2, 3, SIDE, SIDE), dtype=torch.uint8)
    masks = torch.randint(0, CLASSES, (2, SIDE, SIDE), dtype=torch.uint8)
    masks[0, 0] = 255
    valid = torch.ones(2, SIDE, SIDE, dtype=torch.bool)
    valid[0, :, 6:] = False
    pasted = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    pasted[0, 2:5, 2:8] = True
    return Batch(0, images[0], masks, images[1], images[2], valid, pasted)


def _models() -> Models:
    torch.manual_seed(2)
    return Models(_Model(), _Model().eval())


def test_the_labeled_loss_is_cross_entropy_without_ignored_pixels():
    logits, masks = torch.randn(2, CLASSES, SIDE, SIDE), _batch().masks
    expected = F.cross_entropy(logits, masks.long(), ignore_index=255)
    torch.testing.assert_close(labeled_loss(logits, masks, 255), expected)


def test_a_batch_without_a_labeled_pixel_costs_nothing():
    masks = torch.full((1, SIDE, SIDE), 255, dtype=torch.uint8)
    assert labeled_loss(torch.randn(1, CLASSES, SIDE, SIDE), masks, 255) == 0


def test_pseudo_labels_are_mixed_like_the_mirrored_batch_of_the_reference():
    batch, models = _batch(), _models()
    found = pseudo_labels(models, batch, confidence=0.9)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        confidence, labels = models.ema((batch.weak / 255 - mean) / std).logits.softmax(1).max(1)
    valid = batch.valid.clone()
    for planes in (confidence, labels, valid):
        mirrored = planes.flip(0).clone()
        planes[batch.pasted] = mirrored[batch.pasted]
    assert torch.equal(found.labels, labels)
    assert torch.equal(found.valid, valid)
    assert torch.equal(found.trusted, (confidence >= 0.9) & valid)
    assert 0 < found.trusted.sum() < found.valid.sum()


def test_the_unlabeled_loss_is_the_trusted_sum_over_all_valid_pixels():
    batch, models = _batch(), _models()
    pseudo = pseudo_labels(models, batch, confidence=0.9)
    logits = torch.randn(2, CLASSES, SIDE, SIDE)
    pixels = F.cross_entropy(logits, pseudo.labels, reduction="none")
    expected = pixels[pseudo.trusted].sum() / pseudo.valid.sum()
    torch.testing.assert_close(unlabeled_loss(logits, pseudo), expected)


def test_each_method_weighs_its_losses_as_published():
    batch, models = _batch(), _models()
    tokens = {name: torch.randn(4, 2, 2, 3) for name in ("one", "two")}
    losses = {
        name: objective_class(name)(ObjectiveSettings(method=name), 255)(
            models, batch, Targets(tokens, None)
        )
        for name in OBJECTIVES
    }
    x = losses["supervised"]["loss"]
    fixmatch, rs_mtdf = losses["fixmatch"], losses["rs-mtdf"]
    torch.testing.assert_close(fixmatch["loss_x"], x)
    torch.testing.assert_close(fixmatch["loss"], (x + fixmatch["loss_u"]) / 2)
    torch.testing.assert_close(
        rs_mtdf["loss"], (x + fixmatch["loss_u"] + rs_mtdf["loss_distill"]) / 3
    )
    own = models.student(
        (
            torch.cat([batch.images, batch.mixed]) / 255
            - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        )
        / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    ).tokens
    expected = sum(F.mse_loss(own[name], tokens[name]) for name in tokens) / 2
    torch.testing.assert_close(rs_mtdf["loss_distill"], expected, rtol=1e-5, atol=1e-6)
