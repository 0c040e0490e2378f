"""Fits a temperature: one divisor of all logits that minimizes the negative log-likelihood of labeled pixels.

A temperature changes confidences and no predicted class (Guo et al., On Calibration of Modern Neural Networks,
ICML 2017).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.reliability import Reliability, ReliabilityCounter
from rsmtdf_core.settings import Settings

LIMITS = (0.05, 20.0)
"""The lowest and the highest temperature. A model that is always right has no finite minimum."""
PIXELS = 200_000
"""Number of pixels in a sample."""
_ACCURACY = 1e-4  # of the logarithm of the temperature


class TemperatureFit(Settings):
    """A fitted temperature.

    Attributes:
        temperature: the divisor of the logits; above 1 if the model was too confident.
        pixels: number of pixels in the sample.
        nll: mean negative log-likelihood of the sample at temperature 1, in nats.
        fitted_nll: the same at the fitted temperature.
    """

    temperature: float = Field(ge=LIMITS[0], le=LIMITS[1])
    pixels: int
    nll: float
    fitted_nll: float


class PixelSample:
    """Draws labeled pixels of scenes, each with the same probability.

    Args:
        area: number of pixels of all scenes, labeled or not.
        ignore_id: id of ignored pixels in the truth.
        limit: expected number of drawn pixels; ignored ones among them are left out.
    """

    def __init__(self, area: int, ignore_id: int, limit: int = PIXELS) -> None:
        self._share = min(1.0, limit / max(1, area))
        self._ignore_id = ignore_id
        self._random = np.random.default_rng(0)
        self._logits: list[Tensor] = []
        self._truth: list[Tensor] = []

    def add(self, logits: Tensor, truth: Pixels) -> None:
        """Draw from a scene: logits float32 [C, H, W] on the CPU, and class ids [H, W] of the truth."""
        drawn = self._random.choice(truth.size, round(truth.size * self._share), replace=False)
        ids = truth.ravel()[drawn]
        labeled = ids != self._ignore_id
        positions = torch.from_numpy(drawn[labeled])
        self._logits.append(logits.flatten(1)[:, positions].T)
        self._truth.append(torch.from_numpy(ids[labeled].astype(np.int64)))

    def fit(self) -> TemperatureFit:
        """Fit the temperature to all drawn pixels.

        Raises:
            DataError: If no drawn pixel is labeled.
        """
        truth = torch.cat(self._truth) if self._truth else torch.empty(0)
        if not len(truth):
            raise DataError(
                "no labeled pixel was drawn, so no temperature can be fitted",
                remedy="give the validation scenes masks; `rsmtdf data check` counts their pixels",
            )
        return fit_temperature(torch.cat(self._logits), truth)

    def reliability(self, temperature: float) -> Reliability:
        """Compute accuracy by confidence of all drawn pixels, at least one, at a temperature."""
        counter = ReliabilityCounter(temperature, self._ignore_id)
        truth = torch.cat(self._truth).numpy().astype(np.uint8)
        counter.add(torch.cat(self._logits).T[..., None], truth[:, None])
        return counter.reliability


def fit_temperature(logits: Tensor, truth: Tensor) -> TemperatureFit:
    """Fit the temperature to logits [N, C] and class ids int64 [N], within `LIMITS`.

    The likelihood is convex in the inverse of the temperature, so it has one minimum, which a golden-section search
    of the logarithm finds.
    """
    logits = logits.double()

    def nll(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), truth))

    low, high = map(math.log, LIMITS)
    ratio = (math.sqrt(5) - 1) / 2
    inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    inner_nll, outer_nll = nll(inner), nll(outer)
    while high - low > _ACCURACY:
        if inner_nll <= outer_nll:
            high, outer, outer_nll = outer, inner, inner_nll
            inner = high - ratio * (high - low)
            inner_nll = nll(inner)
        else:
            low, inner, inner_nll = inner, outer, outer_nll
            outer = low + ratio * (high - low)
            outer_nll = nll(outer)
    fitted = (low + high) / 2
    return TemperatureFit(
        temperature=math.exp(fitted), pixels=len(truth), nll=nll(0.0), fitted_nll=nll(fitted)
    )
