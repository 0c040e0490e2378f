"""Maps are resized bilinearly with aligned corners."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.student.resizing import resize_map, resize_tokens

SIDES = st.integers(1, 9)


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_plane_stays_a_plane_from_corner_to_corner(height, width, rows, columns):
    """Bilinear interpolation reproduces any function that is linear along rows and columns."""

    def plane(size):
        y, x = (torch.linspace(-1, 1, side) if side > 1 else torch.tensor([-1.0]) for side in size)
        return (2 * y[:, None] - 3 * x[None] + 0.5)[None, None]

    if (height == 1) < (rows == 1) or (width == 1) < (columns == 1):
        return  # a single row is the first one, as is checked below
    if height == 1 or width == 1:
        resized = resize_map(plane((height, width)), (rows, columns))
        assert resized.shape[-2:] == (rows, columns)
        return
    assert torch.allclose(
        resize_map(plane((height, width)), (rows, columns)), plane((rows, columns)), atol=1e-5
    )


@given(SIDES, SIDES, SIDES, SIDES)
def test_corners_stay_and_the_weights_sum_to_1(height, width, rows, columns):
    maps = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    resized = resize_map(maps, (rows, columns))
    assert resized.shape == (2, 3, rows, columns)
    assert torch.equal(resized[..., 0, 0], maps[..., 0, 0])
    if rows > 1 and columns > 1:
        assert torch.allclose(resized[..., -1, -1], maps[..., -1, -1], atol=1e-6)
    assert torch.allclose(
        resize_map(2 * maps + 1, (rows, columns)), 2 * resized + 1, rtol=1e-5, atol=1e-5
    )


def test_an_equal_size_gives_the_map_itself():
    maps = torch.rand(1, 2, 3, 4)
    assert resize_map(maps, (3, 4)) is maps


@pytest.mark.parametrize("grid", [(3, 4), (5, 2)])
def test_tokens_are_resized_channel_by_channel(grid):
    tokens = torch.rand(2, 3, 4, 6)
    resized = resize_tokens(tokens, grid)
    assert resized.shape == (2, *grid, 6)
    for channel in range(6):
        expected = resize_map(tokens[None, ..., channel], grid)[0]
        assert torch.allclose(resized[..., channel], expected)
