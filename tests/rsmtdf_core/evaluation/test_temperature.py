"""The fitted temperature is that of the minimum, and recovers a known one."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.temperature import LIMITS, PixelSample, fit_temperature


def drawn(seed: int, factor: float, pixels: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `factor` times those that the classes are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(pixels, 5, generator=generator)
    truth = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return factor * logits, truth


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(factor):
    fit = fit_temperature(*drawn(0, factor))
    assert fit.temperature == pytest.approx(factor, rel=0.03)
    assert fit.fitted_nll <= fit.nll


def test_no_other_temperature_has_a_smaller_loss():
    logits, truth = drawn(1, 1.7, 500)
    fit = fit_temperature(logits, truth)
    for temperature in np.geomspace(*LIMITS, 200):
        other = float(F.cross_entropy(logits.double() / temperature, truth))
        assert fit.fitted_nll <= other + 1e-7


@pytest.mark.parametrize(("right", "limit"), [(True, LIMITS[0]), (False, LIMITS[1])])
def test_without_a_minimum_the_temperature_stays_within_its_limits(right, limit):
    logits = torch.tensor([[3.0, 0.0]]).repeat(10, 1)
    fit = fit_temperature(logits, torch.full((10,), 0 if right else 1))
    assert fit.temperature == pytest.approx(limit, rel=1e-3)
    assert LIMITS[0] <= fit.temperature <= LIMITS[1]
    assert math.isfinite(fit.fitted_nll)


def scene(seed: int, shape: tuple[int, int]) -> tuple[torch.Tensor, np.ndarray]:
    logits, truth = drawn(seed, 2.0, shape[0] * shape[1])
    truth = truth.numpy().astype(np.uint8).reshape(shape)
    truth[: shape[0] // 2] = 255
    return logits.T.reshape(5, *shape), truth


def test_a_sample_of_everything_is_the_labeled_pixels():
    scenes = [scene(0, (20, 30)), scene(1, (10, 16))]
    sample = PixelSample(760, 255)
    for logits, truth in scenes:
        sample.add(logits, truth)
    logits = torch.cat([logits[:, truth != 255].T for logits, truth in scenes])
    truth = torch.cat(
        [torch.from_numpy(truth[truth != 255].astype(np.int64)) for _, truth in scenes]
    )
    assert sample.fit().pixels == 380
    assert sample.fit().temperature == pytest.approx(
        fit_temperature(logits, truth).temperature, rel=1e-3
    )


def test_a_sample_is_bounded_ignores_ignored_pixels_and_is_the_same_each_time():
    fits = []
    for _ in range(2):
        sample = PixelSample(2 * 100 * 100, 255, limit=4000)
        for seed in range(2):
            sample.add(*scene(seed, (100, 100)))
        fits.append(sample.fit())
        assert sample.reliability(1.0).ece > sample.reliability(fits[-1].temperature).ece
    assert fits[0] == fits[1]
    assert 1800 < fits[0].pixels < 2200
    assert fits[0].temperature == pytest.approx(2, rel=0.15)


def test_a_sample_without_labels_is_refused():
    sample = PixelSample(4, 255)
    sample.add(torch.zeros(2, 2, 2), np.full((2, 2), 255, np.uint8))
    with pytest.raises(DataError, match="no labeled pixel"):
        sample.fit()
