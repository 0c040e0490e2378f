"""UniMatch V2 (arXiv 2410.10777): FixMatch with two strong views and complementary dropout."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.methods.base import Counts, Models
from rsmtdf_core.training.methods.fixmatch import FixMatch
from rsmtdf_core.training.targets import Targets
from rsmtdf_core.views.draws import KeyedDraws

_WORD = 64  # bits of one draw


class UniMatchV2(FixMatch):
    """L = (L_x + (L_s1 + L_s2) / 2) / 2, with complementary channels dropped in the two strong views."""

    def __call__(
        self, models: Models, batch: Batch, targets: Targets | None, counts: Counts
    ) -> dict[str, Tensor]:
        """Compute the supervised loss on weak labeled views and the consistency loss on two mixed views."""
        del targets
        encoder: Any = models.ema.encoder  # a student's
        scale = self._channel_scale(batch, max(encoder.channels))
        _, losses = self._losses(models, batch, counts, scale)
        return {"loss": (losses["loss_x"] + losses["loss_u"]) / 2, **losses}

    def _channel_scale(self, batch: Batch, channels: int) -> Tensor:
        """Draw the factors of complementary dropout, float32 [B + 2 * U, channels]; 1 for labeled samples.

        The factor of a channel is 0 or 2 in the first view of a sample, and 2 or 0 in the second. A random half of the
        global batch keeps all channels of both views.
        """
        order = KeyedDraws(self._seed, "kept whole", batch.step).permutation(batch.total)
        whole = set(order[: batch.total // 2].tolist())
        indices = range(batch.first, batch.first + len(batch.weak))
        first = np.stack(
            [
                np.ones(channels, np.float32)
                if index in whole
                else _zeros_and_twos(KeyedDraws(self._seed, "dropout", batch.step, index), channels)
                for index in indices
            ]
        )
        labeled = np.ones((len(batch.images), channels), np.float32)
        scale = torch.from_numpy(np.concatenate([labeled, first, 2 - first]))
        return scale.to(batch.images.device, non_blocking=True)


def _zeros_and_twos(draws: KeyedDraws, count: int) -> np.ndarray:
    """Draw 0 or 2 with equal probability, float32 [count]."""
    words = [draws.integer(0, 2**_WORD - 1) for _ in range(-(-count // _WORD))]
    bits = np.unpackbits(np.array(words, "<u8").view(np.uint8))
    return 2 * bits[:count].astype(np.float32)
