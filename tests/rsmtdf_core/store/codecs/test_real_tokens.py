"""The transform codec on DINOv2-S tokens of aerial scenes: small, and as true as it says."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_views_of_dubai_shrink_sixteen_times_at_the_stated_quality(shared: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "bench_transform", BENCHMARKS / "bench_transform.py"
    )
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    tokens = bench.dubai_tokens(shared, 24)
    found = bench.measure_quality(tokens[:12], tokens[12:], 0.99)
    assert found["times smaller than fp16"] >= 16
    # Twelve views are few: their mean strays from that of all by about this.
    assert found["centred cosine, mean"] >= 0.989
    assert found["centred cosine, 1st percentile"] >= 0.94
