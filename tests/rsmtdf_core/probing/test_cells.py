"""Masks and maps on a grid of cells."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsmtdf_core.probing.cells import class_shares, resize_area

IGNORED = 255
masks = arrays(np.uint8, (12, 12), elements=st.sampled_from([0, 1, 2, IGNORED]))


@given(masks, st.sampled_from([(1, 1), (3, 4), (12, 12)]))
def test_shares_and_weights_count_the_pixels_of_each_cell(mask, grid):
    shares, weights = class_shares(mask, grid, 3, IGNORED)
    rows, columns = 12 // grid[0], 12 // grid[1]
    for cell in range(grid[0] * grid[1]):
        top, left = cell // grid[1] * rows, cell % grid[1] * columns
        ids = mask[top : top + rows, left : left + columns]
        labeled = ids[ids != IGNORED]
        assert np.isclose(weights[cell], labeled.size / ids.size)
        expected = [np.mean(labeled == k) if labeled.size else 0 for k in range(3)]
        assert np.allclose(shares[cell], expected, atol=1e-6)


def test_finer_maps_are_averaged_and_coarser_ones_interpolated():
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(resize_area(maps, (4, 4)), maps)
    assert torch.equal(resize_area(maps, (2, 2))[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))
    wider = resize_area(maps, (2, 8))
    assert wider.shape == (1, 1, 2, 8)
    assert torch.allclose(wider.mean(), maps.mean())
    # Area-aligned: an upsampled constant slope keeps its center.
    assert torch.allclose(resize_area(maps, (8, 8)).mean(), maps.mean())
