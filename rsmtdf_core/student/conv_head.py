"""A small convolutional head for one coarse map (tests: training/methods/test_teacher_head.py)."""

from torch import nn

# Channels of the coarse and of the upsampled map, and the factor between their grids.
_COARSE, _FINE, _FACTOR = 128, 64, 4


class ConvHead(nn.Sequential):
    """Predict class scores on four times the grid of a map: [B, channels, h, w] -> [B, classes, 4 * h, 4 * w].

    A 1x1 and a 3x3 convolution on the map's grid, a transposed convolution by 4, and a 3x3 convolution to scores.

    Args:
        channels: channels of the map.
        classes: number of classes.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(
            nn.Conv2d(channels, _COARSE, 1),
            nn.GELU(),
            nn.Conv2d(_COARSE, _COARSE, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose2d(_COARSE, _FINE, _FACTOR, stride=_FACTOR),
            nn.GELU(),
            nn.Conv2d(_FINE, classes, 3, padding=1),
        )
