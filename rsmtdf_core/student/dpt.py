"""The DPT head: four maps of the encoder -> a map of class scores.

After Ranftl et al., arXiv 2103.13413, without batch norm. The four maps of a transformer have equal
sizes, so they are first resized into a pyramid; those of a CNN already form a pyramid. From coarse
to fine, each level is then merged into the next.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from rsmtdf_core.student.resizing import resize_map
from rsmtdf_core.student.settings import HeadSize

# Features of the merged maps, and channels of the four projected ones.
HEAD_WIDTHS: dict[HeadSize, tuple[int, tuple[int, int, int, int]]] = {
    "small": (64, (48, 96, 192, 384)),
    "base": (128, (96, 192, 384, 768)),
    "large": (256, (256, 512, 1024, 1024)),
    "giant": (384, (1536, 1536, 1536, 1536)),
}


class DPTHead(nn.Module):
    """Predict class scores on twice the grid of the finest level.

    Args:
        channels: channels of the four maps.
        size: size of the head, which selects its widths.
        classes: number of classes.
        reassemble: resize maps of equal size by 4, 2, 1 and 1/2 into a pyramid (for a ViT).
    """

    def __init__(
        self, channels: Sequence[int], size: HeadSize, classes: int, *, reassemble: bool
    ) -> None:
        super().__init__()
        features, widths = HEAD_WIDTHS[size]
        self.projects = nn.ModuleList(
            nn.Conv2d(channel, width, 1) for channel, width in zip(channels, widths, strict=True)
        )
        self.resizes = nn.ModuleList(
            [
                nn.ConvTranspose2d(widths[0], widths[0], 4, stride=4),
                nn.ConvTranspose2d(widths[1], widths[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(widths[3], widths[3], 3, stride=2, padding=1),
            ]
            if reassemble
            else [nn.Identity() for _ in widths]
        )
        self.adapters = nn.ModuleList(
            nn.Conv2d(width, features, 3, padding=1, bias=False) for width in widths
        )
        self.refiners = nn.ModuleList(
            Refiner(features, merges=level < len(widths) - 1) for level in range(len(widths))
        )
        self.output = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1), nn.ReLU(), nn.Conv2d(features, classes, 1)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Four maps [B, C, h, w] -> scores [B, classes, 2 * h0, 2 * w0].

        h0 x w0 is the grid of the finest level: four times the encoder's if maps are reassembled.
        """
        levels = [
            adapter(resize(project(map_BCHW)))
            for project, resize, adapter, map_BCHW in zip(
                self.projects, self.resizes, self.adapters, maps, strict=True
            )
        ]
        first, second, third, fourth = levels
        path = self.refiners[3](fourth, None, third.shape[-2:])
        path = self.refiners[2](path, third, second.shape[-2:])
        path = self.refiners[1](path, second, first.shape[-2:])
        height, width = first.shape[-2:]
        path = self.refiners[0](path, first, (2 * height, 2 * width))
        scores: Tensor = self.output(path)
        return scores


class Refiner(nn.Module):
    """Merge a level into the path of coarser levels, refine it and resize it for the next level.

    Args:
        features: input and output channels.
        merges: False for the coarsest level, which starts the path.
    """

    def __init__(self, features: int, *, merges: bool) -> None:
        super().__init__()
        self.merge = ResidualUnit(features) if merges else None
        self.refine = ResidualUnit(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, path: Tensor, level: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Path and level [B, C, h, w] -> path [B, C, *size]; None as level for the coarsest."""
        if self.merge is not None:
            path = path + self.merge(level)
        # The reference resizes first. A 1x1 convolution commutes with that and is cheaper here.
        return resize_map(self.out_conv(self.refine(path)), size)


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3, same size."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        change: Tensor = self.conv2(F.relu(self.conv1(F.relu(map_BCHW))))
        return map_BCHW + change
