import pytest
import torch
import torch.nn.functional as F

from rsmtdf_core.positions import resize_position


def test_position_embedding_is_resized_by_scale_factor_and_without_antialias():
    position = torch.randn(1, 1 + 37 * 37, 8)
    resized = resize_position(position, 1, (37, 37), (16, 20))
    cells = position[:, 1:].reshape(1, 37, 37, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(cells, scale_factor=(16.1 / 37, 20.1 / 37), mode="bicubic")
    assert torch.equal(resized[:, 1:], expected.permute(0, 2, 3, 1).reshape(1, 320, 8))
    assert torch.equal(resized[:, :1], position[:, :1])
    assert resize_position(position, 1, (37, 37), (37, 37)) is position


@pytest.mark.parametrize("trained", [14, 16, 37])
def test_position_embedding_resizes_to_every_grid(trained):
    position = torch.zeros(1, trained * trained, 1)
    for side in range(1, 130):
        assert resize_position(position, 0, (trained, trained), (side, 1)).shape == (1, side, 1)


def test_positions_sample_the_old_grid_with_the_official_offset():
    # Away from the border a ramp shows where it was sampled, up to the kernel's own 0.05.
    ramp = torch.arange(37.0).expand(37, 37)
    grid = torch.stack([ramp, ramp.T], dim=-1).reshape(1, 37 * 37, 2)
    class_token = torch.full((1, 1, 2), 7.0)
    resized = resize_position(torch.cat([class_token, grid], dim=1), 1, (37, 37), (16, 16))
    assert torch.equal(resized[:, :1], class_token)
    sampled = (torch.arange(16) + 0.5) / (16.1 / 37) - 0.5
    columns = resized[0, 1:, 0].reshape(16, 16)[8]
    torch.testing.assert_close(columns[1:-1], sampled[1:-1], atol=0.06, rtol=0)
    without_offset = (14 + 0.5) / (16 / 37) - 0.5
    assert abs(columns[14] - without_offset) > 0.1
