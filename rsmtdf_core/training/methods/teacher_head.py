"""A head on the teachers' tokens, without an encoder: how far the tokens alone go.

The head trains from cached tokens. Whole scenes have none, so predictions need the teachers, which run on windows of
the size of the training views. They belong to no state dict, EMA copy or optimizer.
"""

from collections.abc import Mapping, Sequence
from typing import Self, assert_never

import torch
from torch import Tensor, nn

from rsmtdf_core.errors import RunError
from rsmtdf_core.roles import ConfigSettings
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.student.conv_head import ConvHead
from rsmtdf_core.student.dpt import DPTHead
from rsmtdf_core.student.resizing import resize_map
from rsmtdf_core.student.segmenter import Statistics, TokenSegmenter, TokensOf
from rsmtdf_core.student.settings import HeadSize, StudentSettings
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.methods.base import Counts, Models
from rsmtdf_core.training.methods.rows import HeadKind, TeacherHeadSettings
from rsmtdf_core.training.methods.supervised import Supervised
from rsmtdf_core.training.targets import Targets

# Of the mean deviation of the channels; a nearly constant channel would amplify rounding.
_LEAST_SPREAD = 0.01


class TeacherHead(TokenSegmenter):
    """Standardized tokens of all teachers, concatenated on the finest grid -> logits.

    Args:
        head: `linear`, a 1x1 convolution; `conv`, the head of `student.conv_head`; or `dpt`, the student's head with
            the same map as all four of its inputs.
        size: size of the DPT head.
        classes: number of classes.
        crop: side of the training views, px.
        teachers: shapes of the teachers' tokens, at least one.
        bands: number of image bands; the teachers see the first three.
    """

    def __init__(
        self,
        head: HeadKind,
        size: HeadSize,
        classes: int,
        crop: int,
        teachers: Sequence[TokenShape],
        bands: int = SHOWN,
    ) -> None:
        super().__init__()
        assert teachers, "a head on tokens needs teachers"
        self.bands, self.patch = bands, crop
        self.grid = max(shape.height for shape in teachers), max(shape.width for shape in teachers)
        self.standardise = nn.ModuleDict(
            {shape.teacher: Standardise(shape.channels) for shape in teachers}
        )
        channels = sum(shape.channels for shape in teachers)
        self.head = _make_head(head, size, channels, classes)
        self._tokens_of: TokensOf | None = None

    @classmethod
    def build(
        cls,
        settings: StudentSettings,
        method: ConfigSettings,
        classes: int,
        crop: int,
        teachers: Sequence[TokenShape],
        bands: int,
    ) -> Self:
        """Build the head; see `Segmenter.build`."""
        assert isinstance(method, TeacherHeadSettings)
        return cls(method.head, settings.head, classes, crop, teachers, bands)

    def use(self, tokens_of: TokensOf) -> None:
        """Set the function that computes tokens in `logits`."""
        self._tokens_of = tokens_of

    def set_statistics(self, statistics: Statistics) -> None:
        """Set the mean and standard deviation by which tokens are standardized."""
        for name, (mean, std) in statistics.items():
            layer = self.standardise[name]
            assert isinstance(layer, Standardise)
            layer.mean.copy_(mean)
            layer.std.copy_(std.clamp(min=float(_LEAST_SPREAD * std.mean())))

    def forward(self, tokens: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Compute logits [B, classes, *size] of tokens, by teacher [B, h, w, D], of views of this size."""
        device = next(self.head.parameters()).device  # the teachers may be on another
        maps = [
            resize_map(layer(tokens[name].to(device)).permute(0, 3, 1, 2), self.grid)
            for name, layer in self.standardise.items()
        ]
        return resize_map(self.head(torch.cat(maps, dim=1)), size)

    def normalise(self, images: Tensor) -> Tensor:
        """Convert images to float32 in 0..255; each teacher has its own normalization."""
        return images.float()

    def logits(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits of images whose sides are multiples of the crop: of each crop by itself, without overlap.

        Raises:
            RunError: If no teachers are set.
        """
        if self._tokens_of is None:
            raise RunError(
                "this model is a head on the teachers' tokens, and its teachers are not loaded",
                remedy="predict with `rsmtdf evaluate` or `rsmtdf predict`",
            )
        crop = self.patch
        batch, _, height, width = images_BCHW.shape
        rows, columns = height // crop, width // crop
        tiles = images_BCHW.unflatten(2, (rows, crop)).unflatten(4, (columns, crop))
        tiles_NCSS = tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        logits: Tensor = torch.cat(
            [self(self._tokens_of(part), (crop, crop)) for part in tiles_NCSS.split(batch)]
        )
        grid: Tensor = logits.unflatten(0, (batch, rows, columns)).permute(0, 3, 1, 4, 2, 5)
        return grid.flatten(4, 5).flatten(2, 3)

    @property
    def last_layer(self) -> tuple[str, str]:
        """Names of the tensors of the head's last convolution."""
        *_, last = (
            name
            for name, module in self.head.named_modules(prefix="head")
            if isinstance(module, nn.Conv2d)
        )
        return f"{last}.weight", f"{last}.bias"


def _make_head(kind: HeadKind, size: HeadSize, channels: int, classes: int) -> nn.Module:
    match kind:
        case "linear":
            return nn.Conv2d(channels, classes, 1)
        case "conv":
            return ConvHead(channels, classes)
        case "dpt":
            return _DPTHeadOnTokens([channels] * 4, size, classes, reassemble=True)
    assert_never(kind)


class _DPTHeadOnTokens(DPTHead):
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]  # one map instead of four
        return super().forward([maps] * 4)


class Standardise(nn.Module):
    """Tokens in units of their channels' standard deviations, around their means.

    Args:
        channels: number of channels D.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, tokens_BHWD: Tensor) -> Tensor:
        """[B, H, W, D] -> the same shape."""
        return (tokens_BHWD - self.mean) / self.std


class TeacherHeadLoss(Supervised):
    """L = L_x of the head's logits."""

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the supervised loss on weak labeled views, whose tokens come first."""
        assert targets is not None, "teacher-head needs the teachers' tokens"
        labeled = {name: tokens[: len(batch.images)] for name, tokens in targets.tokens.items()}
        models.clock.begin("student")
        logits = models.student(labeled, tuple(batch.images.shape[-2:]))
        models.clock.begin("loss")
        return self._losses(logits, batch, counts)
