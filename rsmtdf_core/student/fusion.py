"""From the student's last tap to each teacher's tokens, and back into the tap."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rsmtdf_core.student.resizing import resize_map


class Translator(nn.Module):
    """The student's features of one place -> a teacher's token of that place."""

    def __init__(self, student_channels: int, hidden: int, teacher_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(student_channels, hidden), nn.ReLU(), nn.Linear(hidden, teacher_channels)
        )

    def forward(self, features_BHWC: Tensor) -> Tensor:
        """[B, h, w, student channels] -> [B, h, w, teacher channels]."""
        tokens: Tensor = self.layers(features_BHWC)
        return tokens


class Fusion(nn.Module):
    """Last tap := w * student + (1 - w) / n * sum of the n teachers' projected tokens.

    Args:
        student_channels: channels of the last tap.
        teacher_channels: by teacher name, channels of its tokens.
        student_weight: w, in [0, 1].
    """

    def __init__(
        self, student_channels: int, teacher_channels: Mapping[str, int], student_weight: float
    ) -> None:
        super().__init__()
        self.student_weight = student_weight
        self.projections = nn.ModuleDict(
            {name: nn.Linear(width, student_channels) for name, width in teacher_channels.items()}
        )

    def forward(self, tap_BCHW: Tensor, tokens: Mapping[str, Tensor]) -> Tensor:
        """Fuse the tap [B, C, h, w] with translated tokens [B, h', w', D] of each teacher."""
        # The reference resizes first; a linear layer commutes with that and is cheaper before.
        height, width = tap_BCHW.shape[-2:]
        projected = [
            resize_map(projection(tokens[name]).permute(0, 3, 1, 2), (height, width))
            for name, projection in self.projections.items()
        ]
        share = (1 - self.student_weight) / len(projected)
        return self.student_weight * tap_BCHW + share * torch.stack(projected).sum(dim=0)
