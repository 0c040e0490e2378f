"""Fusion is the weighted sum of the recipe, or an attention over the sources, for any grids."""

import pytest
import torch

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.student.fusion import (
    LEAST_PRIOR,
    AttentionFusion,
    Translator,
    WeightedFusion,
    make_fusion,
)
from rsmtdf_core.student.resizing import resize_tokens
from rsmtdf_core.student.settings import FusionSettings


def test_translator_is_linear_relu_linear():
    translator = Translator(3, 7, 5)
    features = torch.randn(2, 4, 6, 3)
    first, _, second = translator.layers
    assert torch.equal(translator(features), second(first(features).clamp(min=0)))


def make(teachers, channels=3, kind=WeightedFusion, **settings):
    return kind(3, dict.fromkeys(teachers, channels), FusionSettings(**settings))


def _plain(fusion):
    """The same fusion with identity projections."""
    for projection in fusion.projections.values():
        torch.nn.init.eye_(projection.weight)
        torch.nn.init.zeros_(projection.bias)
    return fusion


@pytest.mark.parametrize("teachers", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_teachers_share_the_rest_of_the_weight(teachers):
    fusion = _plain(make(teachers, student_weight=0.7))
    tap = torch.full((1, 3, 2, 2), 10.0)
    tokens = {name: torch.ones(1, 2, 2, 3) * 4 for name in teachers}
    torch.testing.assert_close(fusion(tap, tokens), torch.full((1, 3, 2, 2), 0.7 * 10 + 0.3 * 4))


def test_projecting_before_the_resize_equals_the_references_order():
    fusion = make(["clip"], channels=8)
    tap, tokens = torch.randn(2, 3, 7, 5), torch.randn(2, 4, 4, 8)
    projected = fusion.projections["clip"](resize_tokens(tokens, (7, 5)))
    expected = 0.8 * tap + 0.2 * projected.permute(0, 3, 1, 2)
    torch.testing.assert_close(fusion(tap, {"clip": tokens}), expected)


def test_teachers_have_the_weights_of_the_settings():
    fusion = _plain(make(["a", "b"], student_weight=0.5, teacher_weights={"a": 0.4, "b": 0.1}))
    tap = torch.full((1, 3, 2, 2), 10.0)
    tokens = {"a": torch.ones(1, 2, 2, 3), "b": torch.ones(1, 2, 2, 3) * 2}
    torch.testing.assert_close(fusion(tap, tokens), torch.full((1, 3, 2, 2), 5 + 0.4 + 0.2))


@pytest.mark.parametrize("mode", ["weighted", "attention"])
def test_weights_that_leave_out_a_teacher_are_refused(mode):
    settings = FusionSettings(mode=mode, teacher_weights={"a": 0.2})
    with pytest.raises(ConfigError, match="no weight for b") as caught:
        make_fusion(3, {"a": 3, "b": 3}, settings)
    assert "student.fusion.teacher_weights" in str(caught.value)


def test_fusion_off_and_no_teachers_are_no_fusion():
    assert make_fusion(3, {"a": 3}, FusionSettings(mode="off")) is None
    assert make_fusion(3, {}, FusionSettings()) is None
    assert isinstance(make_fusion(3, {"a": 3}, FusionSettings()), WeightedFusion)
    assert isinstance(make_fusion(3, {"a": 3}, FusionSettings(mode="attention")), AttentionFusion)


@pytest.mark.parametrize(
    "weights", [{}, {"student_weight": 0.5, "teacher_weights": {"a": 0.4, "b": 0.1}}]
)
def test_attention_starts_from_the_weighted_fusion(weights):
    attention, weighted = (
        make(["a", "b"], kind=AttentionFusion, **weights),
        make(["a", "b"], **weights),
    )
    weighted.load_state_dict(attention.state_dict(), strict=False)
    tap = torch.randn(2, 3, 4, 6)
    tokens = {"a": torch.randn(2, 4, 6, 3), "b": torch.randn(2, 3, 3, 3)}
    torch.testing.assert_close(attention(tap, tokens), weighted(tap, tokens))


def test_attention_is_the_softmax_of_its_formula():
    fusion = _plain(make(["a"], kind=AttentionFusion))
    torch.nn.init.normal_(fusion.query.weight)
    tap, tokens = torch.randn(1, 3, 2, 2), torch.randn(1, 2, 2, 3)
    x0, xa = tap[0, :, 1, 0], tokens[0, 1, 0]
    query = fusion.query.weight @ x0 + fusion.query.bias
    scores = torch.stack([query @ fusion.key.weight @ x0, query @ fusion.key.weight @ xa])
    scores = scores / 64**0.5 + torch.stack([torch.tensor(0.0), fusion.priors["a"]])
    chance = scores.softmax(dim=0)
    expected = chance[0] * x0 + chance[1] * xa
    torch.testing.assert_close(fusion(tap, {"a": tokens})[0, :, 1, 0], expected)


def test_a_weight_of_zero_is_a_start_that_attention_can_leave():
    fusion = make(["a"], kind=AttentionFusion, student_weight=1.0)
    assert float(fusion.priors["a"].detach().exp()) == pytest.approx(LEAST_PRIOR)
