"""Formulas of the transform codec: from tokens to quantized coefficients, and the fit to a teacher.

Token maps compress like images. The rotation concentrates the energy of the channels in few components. The cosine
transform concentrates each component's map in few frequencies. Most of the other coefficients are quantized to zero.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Floats
from rsmtdf_core.codecs.base import Parameters, Tokens
from rsmtdf_core.errors import StoreError

Integers = npt.NDArray[np.int32]

INT8 = 127
INT16 = 32767
# Magnitudes round up from .67 and not from .5. At equal quality, with a slightly smaller step, records of DINOv2-S
# tokens were a fifth smaller; thresholds from .65 to .75 gave the same size.
_ROUND_UP = np.float32(1 - 0.67)
# The type must hold the sample's largest number times this factor, so that other views fit.
_MARGIN = 2
_FOLDS = 4
_MAX_JUDGED = 32
_HALVINGS = 24


@dataclass(frozen=True, slots=True)
class Basis:
    """Rotation of a teacher's tokens.

    Attributes:
        mean: mean of the channels, float32 [D].
        components: an orthonormal row for each component, strongest first, float32 [D, D].
    """

    mean: Floats
    components: Floats

    def coefficients(self, tokens: Tokens) -> Floats:
        """Compute the cosine transform of each component's map, float32 [H, W, D], from tokens [H, W, D]."""
        height, width, channels = tokens.shape
        centred = np.subtract(tokens, self.mean, dtype=np.float32).reshape(-1, channels)
        rotated = (centred @ self.components.T).reshape(height, -1)
        rows = (cosines(height) @ rotated).reshape(tokens.shape)
        result: Floats = np.matmul(cosines(width), rows)
        return result


def cosines(size: int) -> Floats:
    """Return the orthonormal DCT-II matrix with a row for each frequency, float32 [size, size]."""
    frequency, position = np.ogrid[:size, :size]
    matrix = np.cos(np.pi * (2 * position + 1) * frequency / (2 * size)) * np.sqrt(2 / size)
    matrix[0] = np.sqrt(1 / size)
    result: Floats = matrix.astype(np.float32)
    return result


def frequency_order(height: int, width: int) -> npt.NDArray[np.int64]:
    """Return the flat positions u * width + v of a map's frequencies, from low to high."""
    u, v = np.ogrid[:height, :width]
    return np.argsort(((u * width) ** 2 + (v * height) ** 2).reshape(-1), kind="stable")


def quantised(coefficients: Floats, step: float) -> Integers:
    """Quantize coefficients to multiples of the step, int32 of the same shape, with rounding biased toward zero.

    Raises:
        StoreError: If a coefficient is not finite, or exceeds int16.
    """
    numbers = coefficients / np.float32(step)
    largest = max(float(numbers.max()), -float(numbers.min()))
    if not np.isfinite(largest):
        raise StoreError("a token is not a finite number")
    if largest >= INT16:
        raise StoreError(
            f"a view has a coefficient of {largest:.0f} steps, beyond int16: its tokens are "
            "unlike those that the codec was fitted on",
            remedy="set the teacher's codec to int8",
        )
    numbers += np.copysign(_ROUND_UP, numbers)
    return numbers.astype(np.int32)


def fit_transform(quality: float, sample: Tokens) -> Parameters:
    """Fit the basis, the step and the number of wide frequencies for a centered cosine of `quality`.

    The step is chosen by cross-validation: each quarter of the sample is transformed with the basis of the other
    quarters. The final basis is fitted to the whole sample.

    Args:
        quality: mean centered cosine to reach.
        sample: tokens, float32 [n, H, W, D].

    Raises:
        StoreError: If the sample is not finite, or no step reaches the quality.
    """
    views, height, width, channels = sample.shape
    mean = sample.reshape(-1, channels).mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.isfinite(sample).all():
        raise StoreError("a token is not a finite number")
    basis = Basis(mean, _components(sample, mean))
    folds = min(_FOLDS, views)
    held_out: list[Floats] = []
    for fold in range(folds):
        unseen = np.arange(views) % folds == fold
        seen = sample[~unseen] if folds > 1 else sample
        fold_basis = Basis(mean, _components(seen, mean))
        held_out += [
            fold_basis.coefficients(view) for view in sample[unseen][: _MAX_JUDGED // folds]
        ]
    step = _find_step(quality, held_out)
    strongest = np.zeros(height * width)
    for view in sample:
        numbers = np.abs(quantised(basis.coefficients(view), step)).max(axis=-1).reshape(-1)
        np.maximum(strongest, numbers[frequency_order(height, width)], out=strongest)
    beyond = np.flatnonzero(strongest > INT8 / _MARGIN)
    wide = int(beyond[-1]) + 1 if len(beyond) else 0
    return {
        "mean": mean,
        "components": basis.components,
        "step": np.array([step], np.float32),
        "wide": np.array([wide], np.int32),
    }


def _components(sample: Tokens, mean: Floats) -> Floats:
    """Return the principal components, strongest first, with signs such that the largest entry is positive."""
    channels = len(mean)
    covariance = np.zeros((channels, channels))
    for view in sample:
        centred = (view - mean).reshape(-1, channels)
        covariance += centred.T @ centred
    _, vectors = np.linalg.eigh(covariance)
    rows = vectors.T[::-1]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return np.ascontiguousarray(rows * np.sign(largest), np.float32)


def _find_step(quality: float, views: list[Floats]) -> float:
    """Find the largest step that preserves `quality` for the coefficients [H, W, D] of these views."""
    largest = max(float(np.abs(view).max()) for view in views)
    if largest == 0:
        return 1.0
    smallest = low = largest * _MARGIN / INT16
    high = largest
    for _ in range(_HALVINGS):
        if high / low < 1.001:
            break
        step = float(np.sqrt(low * high))
        if _quality(step, views) >= quality:
            low = step
        else:
            high = step
    if low == smallest and _quality(low, views) < quality:
        raise StoreError(
            f"no step of the transform codec reaches a centred cosine of {quality}",
            remedy="set the teacher's codec to int8, or a lower quality",
        )
    return low


def _quality(step: float, views: list[Floats]) -> float:
    """Return the mean cosine over tokens. It is computed on the components' maps, because rotation preserves it."""
    similarities = []
    for view in views:
        maps = [_maps(view), _maps(quantised(view, step) * np.float32(step))]
        energies = [np.einsum("td,td->t", tokens, tokens) for tokens in maps]
        product = np.sqrt(energies[0] * energies[1])
        alike = np.einsum("td,td->t", *maps) / np.where(product > 0, product, 1)
        # As in `Fidelity`: two zero tokens are alike.
        similarities.append(np.where(product > 0, alike, energies[0] == energies[1]).mean())
    return float(np.mean(similarities))


def _maps(coefficients: Floats) -> Floats:
    """Return the components' maps with a row for each token, [H * W, D], from coefficients [H, W, D]."""
    height, width, channels = coefficients.shape
    rows = np.matmul(cosines(width).T, coefficients).reshape(height, -1)
    result: Floats = (cosines(height).T @ rows).reshape(-1, channels)
    return result
