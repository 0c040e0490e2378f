"""Fusion is the weighted sum that the recipe gives, whatever the grids."""

import pytest
import torch

from rsmtdf_core.student.fusion import Fusion, Translator
from rsmtdf_core.student.resizing import resize_tokens


def test_translator_is_linear_relu_linear():
    translator = Translator(3, 7, 5)
    features = torch.randn(2, 4, 6, 3)
    first, _, second = translator.layers
    assert torch.equal(translator(features), second(first(features).clamp(min=0)))


@pytest.mark.parametrize("teachers", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_teachers_share_what_the_student_leaves(teachers):
    fusion = Fusion(3, dict.fromkeys(teachers, 3), student_weight=0.7)
    for projection in fusion.projections.values():
        torch.nn.init.eye_(projection.weight)
        torch.nn.init.zeros_(projection.bias)
    tap = torch.full((1, 3, 2, 2), 10.0)
    tokens = {name: torch.ones(1, 2, 2, 3) * 4 for name in teachers}
    torch.testing.assert_close(fusion(tap, tokens), torch.full((1, 3, 2, 2), 0.7 * 10 + 0.3 * 4))


def test_projecting_before_the_resize_equals_the_references_order():
    fusion = Fusion(3, {"clip": 8}, student_weight=0.8)
    tap, tokens = torch.randn(2, 3, 7, 5), torch.randn(2, 4, 4, 8)
    projected = fusion.projections["clip"](resize_tokens(tokens, (7, 5)))
    expected = 0.8 * tap + 0.2 * projected.permute(0, 3, 1, 2)
    torch.testing.assert_close(fusion(tap, {"clip": tokens}), expected)
