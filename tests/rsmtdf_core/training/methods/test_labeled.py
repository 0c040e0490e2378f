"""The supervised loss against plain sums in float64: weights of classes, region losses, parts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.training.methods.labeled import LabeledLoss, Task, balanced_weights
from rsmtdf_core.training.region_losses import dice_loss, lovasz_loss
from rsmtdf_core.training.settings import SupervisedLossSettings

IGNORED, NAMES = 255, ("road", "water", "forest")


def settings(**values):
    return SupervisedLossSettings(method="supervised", **values)


def prepared(pixels=(1, 1, 1), **values):
    loss = LabeledLoss(settings(**values), IGNORED)
    loss.prepare(Task(NAMES, torch.device("cpu"), lambda: np.array(pixels)))
    return loss


def drawn(images=4):
    torch.manual_seed(0)
    masks = torch.randint(0, len(NAMES), (images, 6, 6), dtype=torch.uint8)
    masks[0, :3] = masks[-1] = IGNORED
    return torch.randn(images, len(NAMES), 6, 6) * 2, masks


def images_of(masks):
    return (masks != IGNORED).flatten(1).any(dim=1).sum()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_balanced_weights_are_those_of_scikit_learn_and_give_each_class_the_same_part(pixels):
    counts = np.array(pixels)
    if not counts.any():
        with pytest.raises(ConfigError, match="have none"):
            balanced_weights(counts)
        return
    weights, present = np.array(balanced_weights(counts)), counts > 0
    assert (weights[~present] == 1).all()
    parts = weights[present] * counts[present]
    np.testing.assert_allclose(parts, counts.sum() / present.sum())
    if counts.sum() < 10_000:
        ids = np.repeat(np.arange(len(counts)), counts)
        expected = compute_class_weight("balanced", classes=np.unique(ids), y=ids)
        np.testing.assert_allclose(weights[present], expected)


def test_the_loss_is_the_weighted_mean_over_labeled_pixels():
    logits, masks = drawn()
    loss = prepared(class_weights={"road": 5.0, "forest": 0.0})
    logs, weights = logits.double().log_softmax(dim=1), [5.0, 1.0, 0.0]
    total = count = 0.0
    for image, class_id in ((i, c) for i in range(4) for c in range(3)):
        here = masks[image] == class_id
        total -= weights[class_id] * float(logs[image, class_id][here].sum())
        count += weights[class_id] * int(here.sum())
    assert float(loss.count(masks)) == pytest.approx(count)
    losses = loss(logits, masks, loss.count(masks), None)
    assert float(losses["loss_x"]) == pytest.approx(total / count, rel=1e-5)
    assert losses.keys() == {"loss_x"}


@pytest.mark.parametrize("region", ["dice", "lovasz"])
@pytest.mark.parametrize("weights", ["none", "balanced", {"water": 3.0}])
def test_parts_add_up_to_the_batch(weights, region):
    logits, masks = drawn()
    loss = prepared((5, 0, 70), class_weights=weights, region_loss=region, region_weight=0.5)
    count, images = loss.count(masks), images_of(masks)
    whole = loss(logits, masks, count, images)
    parts = [loss(logits[i : i + 1], masks[i : i + 1], count, images) for i in range(4)]
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), value, rtol=1e-5, atol=1e-6)
    by_image = (dice_loss if region == "dice" else lovasz_loss)(logits, masks, IGNORED)
    torch.testing.assert_close(whole["loss_region"].float(), by_image[:3].mean())
    plain = prepared((5, 0, 70), class_weights=weights)(logits, masks, count, images)["loss_x"]
    torch.testing.assert_close(whole["loss_x"], plain + 0.5 * whole["loss_region"])


def test_equal_weights_are_no_weights():
    logits, masks = drawn()
    plain, weighted = prepared(), prepared(class_weights=dict.fromkeys(NAMES, 7.0))
    torch.testing.assert_close(
        weighted(logits, masks, weighted.count(masks), None)["loss_x"],
        plain(logits, masks, plain.count(masks), None)["loss_x"],
    )
    assert plain.state == {}
    assert plain.note == ""


def test_weights_are_described_and_kept_with_the_run():
    loss = prepared((1, 0, 3), class_weights="balanced")
    assert loss.note == (
        "class weights (balanced): road 2, forest 0.667; no labeled pixel of water"
    )
    torch.testing.assert_close(loss.state["class_weights"], torch.tensor([2.0, 1.0, 2 / 3]))
    assert prepared(class_weights={"water": 2}).note == "class weights: road 1, water 2, forest 1"


def test_masks_are_not_counted_unless_the_weights_need_them():
    def refuse():
        raise AssertionError("the masks were read")

    for weights in ("none", {"road": 2.0}):
        loss = LabeledLoss(settings(class_weights=weights), IGNORED)
        loss.prepare(Task(NAMES, torch.device("cpu"), refuse))


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"wster": 1}, "no class is named wster, did you mean 'water'"),
        (dict.fromkeys(NAMES, 0), "all classes have weight 0"),
    ],
)
def test_weights_that_do_not_fit_the_classes_are_refused(weights, problem):
    with pytest.raises(ConfigError, match=problem) as refused:
        prepared(class_weights=weights)
    assert refused.value.where == "objective.class_weights"


@pytest.mark.parametrize(
    "values",
    [
        {"class_weights": {"road": -1}},
        {"class_weights": "equal"},
        {"class_weights": {"road": "nan"}},
        {"region_loss": "iou"},
        {"region_weight": 0},
        {"region_weight": -1},
    ],
)
def test_values_that_cannot_be_weights_are_refused_by_key(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        settings(**values)
