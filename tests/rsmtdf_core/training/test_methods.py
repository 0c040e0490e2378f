import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rsmtdf_core.choices import OneOf
from rsmtdf_core.kinds import METHODS
from rsmtdf_core.normalization import normalise
from rsmtdf_core.student.model import StudentOutput
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.data import Batch, mixed_valid
from rsmtdf_core.training.methods.base import (
    Models,
    labeled_loss,
    objective_class,
    pixel_counts,
    pseudo_labels,
    unlabeled_loss,
)
from rsmtdf_core.training.methods.labeled import Task
from rsmtdf_core.training.methods.thresholds import SelfAdaptiveThresholds
from rsmtdf_core.training.settings import DistillationSettings, TaughtSettings
from rsmtdf_core.training.targets import Targets

SIDE, CLASSES, SAMPLES = 8, 3, 4
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class _Model(nn.Module):
    """Logits and tokens that are plain functions of the pixels and, if given, the channel scale."""

    encoder = SimpleNamespace(channels=[5, 70])

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, CLASSES, 1)

    def forward(self, images, channel_scale=None):
        self.scale = channel_scale
        logits = self.logits(images)
        if channel_scale is not None:
            logits = logits * channel_scale[:, :1, None, None]
        tokens = F.avg_pool2d(images, 4).permute(0, 2, 3, 1)
        return StudentOutput(logits, {"one": tokens, "two": 2 * tokens})

    def logits(self, images):
        return 4 * self.mix(images)

    def normalise(self, images):
        return normalise(images)


def _batch(views=1):
    torch.manual_seed(1)
    images = torch.randint(0, 256, (2 + views, SAMPLES, 3, SIDE, SIDE), dtype=torch.uint8)
    masks = torch.randint(0, CLASSES, (SAMPLES, SIDE, SIDE), dtype=torch.uint8)
    masks[0, 0] = 255
    masks[3] = 255
    valid = torch.ones(2 * SAMPLES, SIDE, SIDE, dtype=torch.bool)
    valid[SAMPLES, :, 6:] = False
    valid[1, 5:] = False
    pasted = torch.zeros(views, SAMPLES, SIDE, SIDE, dtype=torch.bool)
    for view in range(views):
        pasted[view, view, 2:5, 2:8] = True
        pasted[view, 2, 1:3] = True
    return Batch(0, 0, SAMPLES, images[0], masks, images[1], images[2:], pasted, valid)


class _Tokens(_Model):
    """Computes tokens only, as distill's model does."""

    def forward(self, images):
        return super().forward(images).tokens


def _model(method):
    if not METHODS[method].trains_head:
        return _Tokens()
    if METHODS[method].predicts_from == "images":
        return _Model()
    shapes = [TokenShape(name, 2, 2, 3) for name in ("one", "two")]
    return METHODS[method].load_model()("linear", "small", CLASSES, SIDE, shapes)


def _models(method="fixmatch"):
    torch.manual_seed(2)
    ema = _model(method).eval()
    return Models(_model(method), ema, ema.logits, StepClock(torch.device("cpu")))


def _targets():
    torch.manual_seed(3)
    spreads = {"one": torch.full((3,), 0.5), "two": torch.full((3,), 2.0)}
    tokens = {name: torch.randn(2 * SAMPLES, 2, 2, 3) for name in spreads}
    return Targets(tokens, None, spreads)


def _objective(method, **settings):
    settings_of_method = OneOf(METHODS, "method").read({"method": method, **settings})
    return objective_class(method)(settings_of_method, 255, seed=0)


def _losses(method, batch, targets, **settings):
    objective = _objective(method, **settings)
    return objective(_models(), batch, targets, objective.counts(batch, targets))


def test_the_labeled_loss_is_cross_entropy_without_ignored_pixels():
    logits, batch = torch.randn(SAMPLES, CLASSES, SIDE, SIDE), _batch()
    expected = F.cross_entropy(logits, batch.masks.long(), ignore_index=255)
    count = pixel_counts(batch, 255).labeled
    torch.testing.assert_close(labeled_loss(logits, batch.masks, 255, count), expected.double())


def test_pseudo_labels_are_mixed_like_the_mirrored_pairs_of_the_reference():
    batch, models = _batch(views=2), _models()
    pseudo_by_view = pseudo_labels(models, batch, confidence=0.9)
    with torch.no_grad():
        logits = models.ema((batch.weak / 255 - MEAN) / STD).logits
        confidence, labels = logits.softmax(1).max(1)
    for view, pseudo in enumerate(pseudo_by_view):
        planes = [confidence.clone(), labels.clone(), batch.valid[SAMPLES:].clone()]
        for plane in planes:
            mirrored = plane[[1, 0, 3, 2]].clone()
            plane[batch.pasted[view]] = mirrored[batch.pasted[view]]
        assert torch.equal(pseudo.labels, planes[1])
        assert torch.equal(mixed_valid(batch)[view], planes[2])
        assert torch.equal(pseudo.trusted, (planes[0] >= 0.9) & planes[2])
        assert 0 < pseudo.trusted.sum() < planes[2].sum()


@pytest.mark.parametrize(("confidence", "trusted"), [(0.5, True), (0.5000001, False)])
def test_a_confidence_that_equals_the_threshold_is_trusted(confidence, trusted):
    batch = _batch()
    even = torch.zeros(SAMPLES, 2, SIDE, SIDE)
    models = dataclasses.replace(_models(), label=lambda _: even)  # half for either class
    (pseudo,) = pseudo_labels(models, batch, confidence)
    assert torch.equal(pseudo.trusted, mixed_valid(batch)[0] & trusted)


def test_the_unlabeled_loss_is_the_trusted_sum_over_all_valid_pixels():
    batch, models = _batch(), _models()
    (pseudo,), (valid,) = pseudo_labels(models, batch, confidence=0.9), mixed_valid(batch)
    logits = torch.randn(SAMPLES, CLASSES, SIDE, SIDE)
    pixels = F.cross_entropy(logits, pseudo.labels, reduction="none")
    count = pixel_counts(batch, 255).unlabeled[0]
    expected = pixels[pseudo.trusted].sum() / valid.sum()
    torch.testing.assert_close(unlabeled_loss(logits, pseudo, count), expected.double())


def test_each_method_weighs_its_losses_as_published():
    batch, targets, models = _batch(), _targets(), _models()
    x = _losses("supervised", batch, None)["loss"]
    fixmatch, rs_mtdf = _losses("fixmatch", batch, None), _losses("rs-mtdf", batch, targets)
    torch.testing.assert_close(fixmatch["loss_x"], x)
    torch.testing.assert_close(fixmatch["loss"], (x + fixmatch["loss_u"]) / 2)
    torch.testing.assert_close(
        rs_mtdf["loss"], (x + fixmatch["loss_u"] + rs_mtdf["loss_distill"]) / 3
    )
    images = torch.cat([batch.images, batch.mixed[0]])
    student = models.student((images / 255 - MEAN) / STD).tokens
    expected = sum(F.mse_loss(student[name], tokens) for name, tokens in targets.tokens.items()) / 2
    torch.testing.assert_close(rs_mtdf["loss_distill"].float(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "smooth-l1", "cosine", "standardised-mse"])
def test_distill_is_the_mean_distance_over_the_views_that_the_teachers_saw(loss):
    batch, targets = _batch(), _targets()
    images = torch.cat([batch.images, batch.mixed[0]])
    objective = _objective("distill", distillation={"loss": loss})
    pooled = batch.pooled()
    assert torch.equal(pooled.images, images)
    losses = objective(_models("distill"), pooled, targets, objective.counts(pooled, targets))
    student = _Model()((images / 255 - MEAN) / STD).tokens
    distances = {
        "mse": lambda a, b, _: F.mse_loss(a, b),
        "smooth-l1": lambda a, b, _: F.smooth_l1_loss(a, b),
        "cosine": lambda a, b, _: (1 - F.cosine_similarity(a, b, dim=-1)).mean(),
        "standardised-mse": lambda a, b, spread: (((a - b) / spread) ** 2).mean(),
    }
    expected = sum(
        distances[loss](student[name], tokens, targets.spreads[name])
        for name, tokens in targets.tokens.items()
    )
    torch.testing.assert_close(losses["loss"], expected / 2, rtol=1e-5, atol=1e-6)
    assert torch.equal(losses["loss_distill"], losses["loss"])
    models = dataclasses.replace(_models("distill"), progress=1.0)
    objective = _objective("distill", distillation={"loss": loss, "final_weight": 3})
    last = objective(models, pooled, targets, objective.counts(pooled, targets))
    torch.testing.assert_close(last["loss"], 3 * losses["loss"])
    assert objective.weights(1.0) == {"weight_distill": 3}


def test_distill_without_padding_skips_what_no_view_shows():
    batch, targets = _batch(), _targets()
    objective = _objective("distill", distillation={"padding": False})
    pooled = batch.pooled()
    valid = torch.cat([batch.valid[:SAMPLES], mixed_valid(batch)[0]])
    assert torch.equal(pooled.valid, valid)
    kept = valid[:, 2::4, 2::4]
    assert 0 < kept.sum() < kept.numel()
    student = _Model()((pooled.images / 255 - MEAN) / STD).tokens
    expected = sum(
        F.mse_loss(student[name][kept], tokens[kept]) for name, tokens in targets.tokens.items()
    )
    losses = objective(_models("distill"), pooled, targets, objective.counts(pooled, targets))
    torch.testing.assert_close(losses["loss"].float(), expected / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 4.0), (0.5, 2.5), (1.0, 1.0)])
def test_the_weight_of_distillation_in_force_scales_its_term_alone(progress, weight):
    batch, targets = _batch(), _targets()
    settings = DistillationSettings(weight=4, final_weight=1, schedule="cosine")
    objective = _objective("rs-mtdf", distillation=settings)
    models = dataclasses.replace(_models(), progress=progress)
    losses = objective(models, batch, targets, objective.counts(batch, targets))
    plain = _losses("rs-mtdf", batch, targets)
    for name in ("loss_x", "loss_u", "loss_distill"):
        assert torch.equal(losses[name], plain[name]), name
    expected = (plain["loss_x"] + plain["loss_u"] + weight * plain["loss_distill"]) / 3
    torch.testing.assert_close(losses["loss"], expected)
    assert objective.weights(progress) == {"weight_distill": pytest.approx(weight)}


def test_unimatch_v2_takes_the_mean_over_both_views_with_complementary_channels():
    batch, models = _batch(views=2), _models()
    objective = _objective("unimatch-v2")
    losses = objective(models, batch, None, objective.counts(batch, None))
    scale = models.student.scale
    assert scale.shape == (3 * SAMPLES, 70), "as wide as the widest tap"
    labeled, first, second = scale.split(SAMPLES)
    assert (labeled == 1).all()
    assert (first + second == 2).all()
    whole = (first == 1).all(dim=1)
    assert whole.sum() == SAMPLES // 2
    dropped = first[~whole]
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert 0.3 < (dropped == 0).float().mean() < 0.7
    pseudo = pseudo_labels(models, batch, 0.95)
    expected = 0
    for view, scales in enumerate((first, second)):
        logits = models.student((batch.mixed[view] / 255 - MEAN) / STD, scales).logits
        pixels = F.cross_entropy(logits, pseudo[view].labels, reduction="none")
        expected += pixels[pseudo[view].trusted].sum() / mixed_valid(batch)[view].sum() / 2
    torch.testing.assert_close(losses["loss_u"].float(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses["loss"], (losses["loss_x"] + losses["loss_u"]) / 2)


@pytest.mark.parametrize("kept", ["all", "composed"])
@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_parts_of_a_step_add_up_to_the_whole(method, padding, kept):
    objective = _objective(method, distillation=DistillationSettings(padding=padding))
    batch, targets = _batch(METHODS[method].strong_views), None
    if not METHODS[method].trains_head:
        batch = batch.pooled()
    if issubclass(METHODS[method].settings, TaughtSettings):
        targets = _targets()
        if kept == "composed":
            torch.manual_seed(4)
            planes = {name: torch.rand(2 * SAMPLES, 2, 2) > 0.3 for name in targets.tokens}
            targets = Targets(targets.tokens, planes, targets.spreads)
    counts = objective.counts(batch, targets)
    models = _models(method)
    whole, size = objective(models, batch, targets, counts), len(batch.images)
    parts = [
        objective(models, batch.part(part), targets.part(part, size) if targets else None, counts)
        for part in (slice(0, size // 2), slice(size // 2, size))
    ]
    for name, loss in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), loss, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", [name for name, kind in METHODS.items() if kind.trains_head])
def test_parts_add_up_with_class_weights_a_region_loss_and_adaptive_thresholds(method):
    batch, targets = _batch(METHODS[method].strong_views), _targets()
    adaptive = {"thresholds": "self-adaptive"} if METHODS[method].strong_views else {}
    settings = {"class_weights": {"b": 4.0}, "region_loss": "lovasz", **adaptive}
    wholes = []
    for slices in ([slice(0, 4)], [slice(0, 2), slice(2, 4)]):
        objective, models = _objective(method, **settings), _models(method)
        objective.prepare(Task(("a", "b", "c"), torch.device("cpu"), lambda: np.ones(CLASSES)))
        counts = objective.counts(batch, targets)
        for _ in range(3):
            parts = [
                objective(models, batch.part(part), targets.part(part, SAMPLES), counts)
                for part in slices
            ]
            objective.end_step(lambda tensor: tensor)
        wholes.append(({name: sum(p[name] for p in parts) for name in parts[0]}, objective.state))
    (whole, state), (parted, other) = wholes
    assert "loss_region" in whole
    assert whole.keys() == parted.keys()
    for name, loss in whole.items():
        torch.testing.assert_close(parted[name], loss, rtol=1e-5, atol=1e-6)
    assert state.keys() == {"class_weights", *(["confidence", "chances"] if adaptive else [])}
    for name, tensor in state.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-6, atol=0)


def test_pseudo_labels_need_the_confidence_of_their_class():
    batch, models = _batch(), _models()
    thresholds = SelfAdaptiveThresholds(CLASSES, 0.5, torch.device("cpu"))
    chances = (torch.tensor([0.9, 0.3, 0.6]), torch.tensor(0.9))
    thresholds.state["chances"].copy_(chances[0])
    thresholds.state["confidence"].copy_(chances[1])
    needed = torch.tensor([0.9, 0.3, 0.6])
    torch.testing.assert_close(thresholds.by_class, needed)
    (pseudo,) = pseudo_labels(models, batch, thresholds)
    with torch.no_grad():
        logits = models.ema((batch.weak / 255 - MEAN) / STD).logits
        confidence, labels = logits.softmax(1).max(1)
    reached = confidence >= needed[labels]
    mirrored = reached[[1, 0, 3, 2]].clone()
    reached[batch.pasted[0]] = mirrored[batch.pasted[0]]
    assert torch.equal(pseudo.trusted, reached & mixed_valid(batch)[0])
    fixed = pseudo_labels(models, batch, 0.9)[0].trusted
    assert 0 < fixed.sum() < pseudo.trusted.sum()


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("samples", ["both", "unlabeled"])
def test_labeled_samples_without_tokens_are_not_distilled(samples, padding):
    batch, full = _batch(), _targets()
    tokens = {name: tokens[SAMPLES:] for name, tokens in full.tokens.items()}
    targets = Targets(tokens, None, full.spreads, labeled=False)
    unlabeled = DistillationSettings(samples="unlabeled", padding=padding)
    expected = _losses("rs-mtdf", batch, full, distillation=unlabeled)
    settings = DistillationSettings(samples=samples, padding=padding)
    objective = _objective("rs-mtdf", distillation=settings)
    counts = objective.counts(batch, targets)
    whole = objective(_models(), batch, targets, counts)
    parts = [
        objective(_models(), batch.part(part), targets.part(part, SAMPLES), counts)
        for part in (slice(0, 2), slice(2, 4))
    ]
    for name, loss in expected.items():
        torch.testing.assert_close(whole[name], loss, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(sum(part[name] for part in parts), loss, rtol=1e-5, atol=1e-6)


def test_a_sample_keeps_its_dropout_whatever_process_computes_it():
    batch = _batch(views=2)
    objective = _objective("unimatch-v2")
    whole, other = _models(), _models()
    counts = objective.counts(batch, None)
    objective(whole, batch, None, counts)
    objective(other, batch.part(slice(2, 4)), None, counts)
    expected = whole.student.scale.unflatten(0, (3, SAMPLES))[:, 2:]
    assert torch.equal(other.student.scale.unflatten(0, (3, 2)), expected)
