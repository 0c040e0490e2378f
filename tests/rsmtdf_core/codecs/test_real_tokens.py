"""The transform codec on DINOv2-S tokens of aerial scenes has the stated size and fidelity."""

from pathlib import Path

import pytest

from tests.benchmarks.bench_transform import dubai_tokens, measure_quality


@pytest.mark.shared
@pytest.mark.reliability
def test_views_of_dubai_shrink_sixteen_times_at_the_stated_quality(shared: Path) -> None:
    quality = measure_quality(dubai_tokens(shared, 24), 0.99)
    assert quality["times smaller than fp16"] >= 16
    # Single views differ by .0055 (standard deviation), so the mean of 24 by .0011.
    assert quality["centred cosine, mean"] >= 0.99 - 0.0022
    assert quality["centred cosine, 1st percentile"] >= 0.94
