"""The student: it predicts logits and each teacher's tokens.

It is built only from the shapes of the teachers' tokens. It contains no teacher, so neither its
checkpoints nor its EMA copy include one, and it predicts without teachers.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtdf_core.normalization import normalise
from rsmtdf_core.roles import ConfigSettings
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.student.dpt import DPTHead
from rsmtdf_core.student.encoder import Encoder
from rsmtdf_core.student.fusion import Translator, make_fusion
from rsmtdf_core.student.pretrained import input_statistics
from rsmtdf_core.student.resizing import resize_map, resize_tokens
from rsmtdf_core.student.segmenter import Segmenter
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.student.stages import stages
from rsmtdf_core.tokens import TokenShape

# For bands beyond the third, which have no published statistics: approximately the whole range.
_OTHER_MEAN, _OTHER_STD = 0.5, 0.25


class StudentOutput(NamedTuple):
    """The output of a forward pass.

    Attributes:
        logits: [B, classes, H, W] at the size of the images.
        tokens: by teacher name, [B, h, w, D] on that teacher's grid.
    """

    logits: Tensor
    tokens: dict[str, Tensor]


class Student(Segmenter):
    """Encoder, translators, fusion and head.

    Most teachers' tokens are translated from the last tap. A teacher may instead see crops resized to
    a size at which the student's grid equals its grid (the reference's CLIP). Its tokens are
    translated from a second pass of the encoder at that size or, with `second_encoding` "shared",
    from the last tap resampled to that grid. With `translator_input` "pyramid", all tokens are translated
    from all four taps on the teacher's grid.

    Args:
        settings: settings of the encoder, head and fusion.
        classes: number of classes.
        crop: side of the training views, px.
        teachers: shapes of the teachers' tokens; empty for training without distillation.
        bands: number of image bands.

    Raises:
        ConfigError: If the encoder is unavailable or does not take views of this size, or the fusion
            weights omit a teacher.
    """

    def __init__(
        self,
        settings: StudentSettings,
        classes: int,
        crop: int,
        teachers: Sequence[TokenShape],
        *,
        bands: int = SHOWN,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(settings, bands, crop)
        self.bands = bands
        mean, std = input_statistics(settings)
        self.mean = (*mean, *[_OTHER_MEAN] * (bands - SHOWN))
        self.std = (*std, *[_OTHER_STD] * (bands - SHOWN))
        self.patch = self.encoder.patch
        self._crop = crop
        self._pyramid = settings.translator_input == "pyramid"
        width = sum(self.encoder.channels) if self._pyramid else self.encoder.channels[-1]
        self._shares_pass = settings.second_encoding == "shared"
        self.grids = {teacher.teacher: teacher.grid for teacher in teachers}
        self.second_sizes = {
            teacher.teacher: None if self._pyramid else _second_size(teacher, self.encoder, crop)
            for teacher in teachers
        }
        self.translators = nn.ModuleDict(
            {
                teacher.teacher: Translator(width, settings.translator_hidden, teacher.channels)
                for teacher in teachers
            }
        )
        fused = {teacher.teacher: teacher.channels for teacher in teachers}
        *finer, last = self.encoder.channels
        self.fusion = make_fusion(last, fused, settings.fusion)
        fusions = (make_fusion(channels, fused, settings.fusion) for channels in finer)
        self.finer_fusions = nn.ModuleList(
            fusion for fusion in fusions if self._pyramid and fusion is not None
        )
        reassemble = len(set(self.encoder.reductions)) == 1
        self.head = DPTHead(self.encoder.channels, settings.head, classes, reassemble=reassemble)

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
        """Build the student, which does not depend on the method's keys."""
        del method
        return cls(settings, classes, crop, teachers, bands=bands)

    def pretrained(self) -> Iterable[nn.Parameter]:
        """Return the encoder's parameters."""
        return self.encoder.parameters()

    def pretrained_stages(self) -> Sequence[Iterable[nn.Parameter]]:
        """Return the encoder's parameters by stage."""
        return [stage.values() for stage in stages(self.encoder.net)]

    @property
    def last_layer(self) -> tuple[str, str]:
        """Names of the tensors of the head's last convolution."""
        last = f"head.output.{len(self.head.output) - 1}"
        return f"{last}.weight", f"{last}.bias"

    def checkpoint_activations(self, enabled: bool) -> None:
        """Enable or disable activation checkpointing in the encoder."""
        self.encoder.checkpoint_activations(enabled)

    def forward(self, images_BCHW: Tensor, channel_scale: Tensor | None = None) -> StudentOutput:
        """Compute the logits and translated tokens of normalized images.

        Args:
            images_BCHW: normalized images; H and W are multiples of the patch.
            channel_scale: [B, C], multiplies the channels of every tap of the encoder (complementary
                dropout of UniMatch V2, arXiv 2410.10777). C is at least the width of the widest tap;
                narrower taps use the first channels.
        """
        taps = self._taps(images_BCHW, channel_scale)
        tokens = self._translate(images_BCHW, taps, channel_scale)
        logits = self._decode(images_BCHW, taps, tokens)
        return StudentOutput(logits, self._on_grids(tokens))

    def tokens(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Compute only the translated tokens of normalized images, as `forward` does.

        Skips the head, the fusion and each pass of the encoder that no translator reads.
        """
        taps: list[Tensor] = []
        if self._shares_pass or None in self.second_sizes.values():
            taps = self._taps(images_BCHW)
        return self._on_grids(self._translate(images_BCHW, taps))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalize uint8 images [B, bands, H, W] to the float32 input of the student."""
        return normalise(images, self.mean, self.std)

    def logits(self, images_BCHW: Tensor) -> Tensor:
        """Compute only the logits; without fusion this skips the translators and the second pass."""
        taps = self._taps(images_BCHW)
        tokens = {} if self.fusion is None else self._translate(images_BCHW, taps)
        return self._decode(images_BCHW, taps, tokens)

    def _taps(self, images_BCHW: Tensor, channel_scale: Tensor | None = None) -> list[Tensor]:
        taps: list[Tensor] = self.encoder(images_BCHW)
        if channel_scale is None:
            return taps
        assert channel_scale.shape[1] >= max(self.encoder.channels), channel_scale.shape
        scale_BC11 = channel_scale[:, :, None, None]
        return [tap * scale_BC11[:, : tap.shape[1]].to(tap.dtype) for tap in taps]

    def _translate(
        self,
        images_BCHW: Tensor,
        taps: Sequence[Tensor],
        channel_scale: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Translate tokens, by teacher name, on the grid of their source map.

        `taps` may be empty if each teacher's tokens are translated from a second pass.
        """
        maps: dict[int | tuple[int, int] | None, Tensor] = {}
        if taps and not self._pyramid:
            maps[None] = taps[-1]
        tokens = {}
        for name, translator in self.translators.items():
            source = self.grids[name] if self._pyramid else self.second_sizes[name]
            if source not in maps:
                assert source is not None
                if isinstance(source, tuple):
                    maps[source] = self._pyramid_on(taps, images_BCHW, source)
                elif self._shares_pass:
                    maps[source] = self._resampled(taps[-1], images_BCHW, self.grids[name])
                else:
                    # A square at every image size, as in the reference.
                    smaller = resize_map(images_BCHW, (source, source))
                    maps[source] = self._taps(smaller, channel_scale)[-1]
            tokens[name] = translator(maps[source].permute(0, 2, 3, 1))
        return tokens

    def _pyramid_on(
        self, taps: Sequence[Tensor], images_BCHW: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """Concatenate all taps on a teacher's grid; finer ones are averaged before the resize."""
        maps = []
        for tap, reduction in zip(taps, self.encoder.reductions, strict=True):
            # Depends on the crop alone, not on the size of the images, so that an export can trace it.
            cells = self._crop // (reduction * max(grid))
            pooled = F.avg_pool2d(tap, cells) if cells > 1 else tap
            maps.append(self._resampled(pooled, images_BCHW, grid))
        return torch.cat(maps, dim=1)

    def _on_grids(self, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize translated tokens to the grids of their teachers."""
        return {
            name: resize_tokens(tokens_BHWD, self.grids[name])
            for name, tokens_BHWD in tokens.items()
        }

    def _resampled(self, tap_BCHW: Tensor, images_BCHW: Tensor, grid: tuple[int, int]) -> Tensor:
        """Resize a tap to a teacher's grid, scaled by the size of the images relative to the crop."""
        sides = images_BCHW.shape[-2:]
        # Round in integer arithmetic, which an export can trace.
        rows, columns = (
            max(1, (2 * cells * side + self._crop) // (2 * self._crop))
            for cells, side in zip(grid, sides, strict=True)
        )
        return resize_map(tap_BCHW, (rows, columns))

    def _decode(
        self, images_BCHW: Tensor, taps: Sequence[Tensor], tokens: dict[str, Tensor]
    ) -> Tensor:
        *finer, last = taps
        if self.fusion is not None:
            last = self.fusion(last, tokens)
        if self.finer_fusions:
            finer = [
                fusion(tap, tokens) for fusion, tap in zip(self.finer_fusions, finer, strict=True)
            ]
        height, width = images_BCHW.shape[-2:]
        return resize_map(self.head([*finer, last]), (height, width))


class TokenModel(nn.Module):
    """The encoder and translators of a student, as a model that computes tokens only.

    It shares the student's parameters and contains no others, so that processes only exchange gradients that exist.

    Args:
        student: the student.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.encoder = student.encoder
        self.translators = student.translators
        self._tokens = student.tokens

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Compute the translated tokens of normalized images; see `Student.tokens`."""
        return self._tokens(images_BCHW)


def parameter_groups(
    model: Segmenter, lr: float, multiplier: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Return optimizer groups of all parameters that train: the pretrained ones, if there are any, then all others.

    Args:
        model: the model to train.
        lr: learning rate of the pretrained parameters, with layer decay of their last stage.
        multiplier: factor on `lr` for all other parameters.
        layer_decay: rate of each pretrained stage relative to the next one; 1 puts all of them in one group. Other
            values give each stage its group, as in BEiT (arXiv 2106.08254).
    """
    parts = [model.pretrained()] if layer_decay == 1 else [*model.pretrained_stages()]
    rates = [lr * layer_decay ** (len(parts) - 1 - stage) for stage in range(len(parts))]
    ids = {id(parameter) for parameter in model.pretrained()}
    others = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    groups = [
        {"params": [parameter for parameter in part if parameter.requires_grad], "lr": rate}
        for part, rate in zip([*parts, others], [*rates, lr * multiplier], strict=True)
    ]
    return [group for group in groups if group["params"]]


def _second_size(teacher: TokenShape, encoder: Encoder, crop: int) -> int | None:
    """Return the size of the second pass with the teacher's grid; None to use the last tap."""
    size, reduction = teacher.input_size, encoder.reductions[-1]
    if size is None or size == crop or size % reduction or size % encoder.patch:
        return None
    return size if teacher.grid == (size // reduction, size // reduction) else None
