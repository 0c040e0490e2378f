"""The head merges four maps into one, on the grids that they imply."""

import pytest
import torch
import torch.nn.functional as F

from rsmtdf_core.student.dpt import HEAD_WIDTHS, DPTHead, Refiner


@pytest.mark.parametrize("size", HEAD_WIDTHS)
def test_a_transformers_maps_become_eight_times_as_fine(size):
    head = DPTHead([8] * 4, size, classes=5, reassemble=True)
    with torch.inference_mode():
        scores = head([torch.randn(1, 8, 3, 2) for _ in range(4)])
    assert scores.shape == (1, 5, 24, 16)


def test_a_pyramid_is_used_as_it_is():
    head = DPTHead([4, 6, 8, 10], "small", classes=3, reassemble=False)
    sizes = [(17, 24), (9, 12), (5, 6), (3, 3)]
    maps = [torch.randn(1, c, *size) for c, size in zip([4, 6, 8, 10], sizes, strict=True)]
    assert head(maps).shape == (1, 3, 34, 48)
    assert not any("resizes" in name for name in head.state_dict())


@torch.inference_mode()
def test_projecting_before_the_resize_equals_the_references_order():
    refiner = Refiner(8, merges=True)
    path, level = torch.randn(2, 8, 5, 4), torch.randn(2, 8, 5, 4)
    refined = refiner.refine(path + refiner.merge(level))
    resized = F.interpolate(refined, scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(refiner(path, level, (10, 8)), refiner.out_conv(resized))


def test_the_coarsest_level_has_no_idle_parameters():
    head = DPTHead([4] * 4, "small", classes=2, reassemble=True)
    head([torch.randn(1, 4, 2, 2) for _ in range(4)]).square().mean().backward()
    assert [name for name, value in head.named_parameters() if value.grad is None] == []
