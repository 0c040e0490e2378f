"""Translate the student's last tap to each teacher's tokens, and fuse them back into the tap.

Both fusions project every teacher's translated tokens to the tap's channels; they differ in the
weight of each source per location. Layers that act only on channels commute with the resize to the
tap's grid, so they run before it, on the smaller grid.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.student.resizing import resize_map
from rsmtdf_core.student.settings import FusionSettings

# Channels of queries and keys: enough to distinguish a few sources.
ATTENTION_WIDTH = 64
# Minimum initial weight of a source in attention, because the logarithm of 0 is infinite.
LEAST_PRIOR = 1e-3


class Translator(nn.Module):
    """Translate the student's features at each location to a teacher's token."""

    def __init__(self, student_channels: int, hidden: int, teacher_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(student_channels, hidden), nn.ReLU(), nn.Linear(hidden, teacher_channels)
        )

    def forward(self, features_BHWC: Tensor) -> Tensor:
        """[B, h, w, student channels] -> [B, h, w, teacher channels]."""
        tokens: Tensor = self.layers(features_BHWC)
        return tokens


class Fusion(nn.Module, ABC):
    """Base class of fusions: a linear layer per teacher to the tap's channels, and the weights.

    Args:
        student_channels: channels of the last tap.
        teacher_channels: by teacher name, channels of its tokens.
        settings: the weights of the student and of the teachers.

    Raises:
        ConfigError: If the settings have weights for only some of the teachers.
    """

    def __init__(
        self, student_channels: int, teacher_channels: Mapping[str, int], settings: FusionSettings
    ) -> None:
        super().__init__()
        self.student_weight = settings.student_weight
        self.teacher_weights = _teacher_weights(tuple(teacher_channels), settings)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(width, student_channels) for name, width in teacher_channels.items()}
        )

    def forward(self, tap_BCHW: Tensor, tokens: Mapping[str, Tensor]) -> Tensor:
        """Fuse the tap [B, C, h, w] with translated tokens [B, h', w', D] of each teacher."""
        projected = {name: layer(tokens[name]) for name, layer in self.projections.items()}
        return self._joined(tap_BCHW, projected)

    @abstractmethod
    def _joined(self, tap_BCHW: Tensor, projected: Mapping[str, Tensor]) -> Tensor:
        """Return the fused tap, from projected tokens [B, h', w', C] on each teacher's grid."""


class WeightedFusion(Fusion):
    """Last tap := w * student + sum over teachers of w_t * projected_t.

    Without explicit weights, n teachers share the rest equally: w_t = (1 - w) / n.
    """

    def _joined(self, tap_BCHW: Tensor, projected: Mapping[str, Tensor]) -> Tensor:
        maps = {name: _on_grid(tokens, tap_BCHW) for name, tokens in projected.items()}
        student = self.student_weight * tap_BCHW
        if self.teacher_weights is None:
            share = (1 - self.student_weight) / len(maps)
            return student + share * torch.stack(list(maps.values())).sum(dim=0)
        weighted = [self.teacher_weights[name] * map_BCHW for name, map_BCHW in maps.items()]
        return student + torch.stack(weighted).sum(dim=0)


class AttentionFusion(Fusion):
    """Last tap := sum over sources of a_s * x_s, with weights per location.

    The sources x_s at a location are the student's feature x_0 and each teacher's projected token
    x_t. The student gives the query and all sources give keys:

        a = softmax over s of <Q x_0, K x_s> / sqrt(d) + b_s

    Q and K are linear maps to d = 64 channels. The sources themselves are the values (a teacher's
    projection is its value map), so the result is a convex combination of them. The bias b_s is a
    content-independent weight of a source. It is 0 for the student, because the softmax only depends
    on differences. Q starts at 0 and b_s at the logarithm of w_s / w, so training starts from the
    weighted fusion with the same weights (normalized to the sum 1).
    """

    def __init__(
        self, student_channels: int, teacher_channels: Mapping[str, int], settings: FusionSettings
    ) -> None:
        super().__init__(student_channels, teacher_channels, settings)
        self.query = nn.Linear(student_channels, ATTENTION_WIDTH)
        # Without bias, which would add the same constant to every source's score.
        self.key = nn.Linear(student_channels, ATTENTION_WIDTH, bias=False)
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        shared = (1 - self.student_weight) / len(teacher_channels)
        weights = self.teacher_weights or dict.fromkeys(teacher_channels, shared)
        student = math.log(max(self.student_weight, LEAST_PRIOR))
        self.priors = nn.ParameterDict(
            {
                name: nn.Parameter(
                    torch.tensor(math.log(max(weights[name], LEAST_PRIOR)) - student)
                )
                for name in teacher_channels
            }
        )

    def _joined(self, tap_BCHW: Tensor, projected: Mapping[str, Tensor]) -> Tensor:
        features_BHWC = tap_BCHW.permute(0, 2, 3, 1)
        query = self.query(features_BHWC).permute(0, 3, 1, 2) / math.sqrt(ATTENTION_WIDTH)
        scores = [(query * self.key(features_BHWC).permute(0, 3, 1, 2)).sum(dim=1)]
        sources = [tap_BCHW]
        for name, tokens in projected.items():
            key = _on_grid(self.key(tokens), tap_BCHW)
            scores.append((query * key).sum(dim=1) + self.priors[name])
            sources.append(_on_grid(tokens, tap_BCHW))
        weights = torch.stack(scores).softmax(dim=0)
        fused = [weight[:, None] * source for weight, source in zip(weights, sources, strict=True)]
        return torch.stack(fused).sum(dim=0)


def make_fusion(
    student_channels: int, teacher_channels: Mapping[str, int], settings: FusionSettings
) -> Fusion | None:
    """Return the fusion for `settings.mode`; None if it is "off" or there are no teachers.

    Raises:
        ConfigError: If the settings have weights for only some of the teachers.
    """
    if settings.mode == "off" or not teacher_channels:
        return None
    kind = WeightedFusion if settings.mode == "weighted" else AttentionFusion
    return kind(student_channels, teacher_channels, settings)


def _on_grid(tokens_BHWC: Tensor, tap_BCHW: Tensor) -> Tensor:
    """Return tokens [B, h', w', C] as a map [B, C, h, w] on the tap's grid."""
    height, width = tap_BCHW.shape[-2:]
    return resize_map(tokens_BHWC.permute(0, 3, 1, 2), (height, width))


def _teacher_weights(
    teachers: tuple[str, ...], settings: FusionSettings
) -> dict[str, float] | None:
    """Return the weight of each teacher; None if they share the student's complement equally."""
    weights = settings.teacher_weights
    if weights is None:
        return None
    if missing := [name for name in teachers if name not in weights]:
        raise ConfigError(
            f"the fusion has no weight for {', '.join(missing)}",
            where="student.fusion.teacher_weights",
            remedy=f"--set student.fusion.teacher_weights.{missing[0]}=0.1, or remove the weights, so "
            "that teachers share 1 - student_weight equally",
        )
    return {name: weights[name] for name in teachers}
