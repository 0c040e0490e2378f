"""Blended windows reproduce the values on which all windows agree."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rsmtdf_core.evaluation.settings import Blend, InferenceSettings
from rsmtdf_core.evaluation.tiles import blend_weights, blended_blocks, window_starts

BLENDS = st.sampled_from(["uniform", "hann"])
overlaps = st.floats(0, 0.9)


def blended(model, image: Tensor, how: InferenceSettings) -> Tensor:
    """The blocks put together; checks that they cover each pixel once, and follow upon each other."""

    def read(top, left, height, width):
        return image[:, top : top + height, left : left + width]

    size = image.shape[1], image.shape[2]
    whole, times, corners = torch.empty(0), torch.zeros(size), []
    for top, left, logits in blended_blocks(model, read, size, how):
        if not len(whole):
            whole = torch.zeros(len(logits), *size)
        rows, columns = slice(top, top + logits.shape[1]), slice(left, left + logits.shape[2])
        whole[:, rows, columns] = logits
        times[rows, columns] += 1
        corners.append((top, left))
    assert (times == 1).all()
    assert corners == sorted(corners)
    return whole


@given(
    length=st.integers(1, 400),
    window=st.integers(1, 120),
    overlap=st.floats(0, 1, exclude_max=True),
)
def test_windows_cover_a_side_and_the_last_is_flush(
    length: int, window: int, overlap: float
) -> None:
    starts = window_starts(length, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - window)
    steps = [after - before for before, after in pairwise(starts)]
    assert all(1 <= step <= max(1, window * (1 - overlap)) for step in steps)
    assert max(steps, default=0) - min(steps, default=0) <= 1
    # No more windows than are needed for that overlap.
    assert (len(starts) - 2) * max(1, int(window * (1 - overlap))) < max(1, length - window)


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    window=st.integers(1, 40),
    overlap=overlaps,
    blend=BLENDS,
    batch=st.integers(1, 5),
    seed=st.integers(0, 9),
)
@settings(max_examples=150)
def test_an_identity_model_gives_its_input_back(
    height: int, width: int, window: int, overlap: float, blend: Blend, batch: int, seed: int
) -> None:
    how = InferenceSettings(mode="slide", window=window, overlap=overlap, blend=blend, batch=batch)
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(3, height, width, generator=generator)
    actual = blended(lambda windows: windows, image, how)
    most = max(
        sum(start <= at < start + window for start in window_starts(side, window, overlap))
        for side in (height, width)
        for at in range(side)
    )
    bound = (2 * most**2 + 8) * 2.0**-24
    assert actual.shape == image.shape
    assert ((actual - image).abs() <= bound * image.abs()).all()


@given(window=st.integers(1, 2000), blend=BLENDS)
def test_weights_are_symmetric_largest_in_the_middle_and_nowhere_0(
    window: int, blend: Blend
) -> None:
    weights = blend_weights(window, blend)
    # Above the square root of the smallest normal float, so that products of two do not vanish.
    assert weights.min() > 1e-18
    assert weights.max() <= 1
    torch.testing.assert_close(weights, weights.flip(0))
    assert (weights.diff()[: window // 2 - 1] >= 0).all()


def test_hann_passes_smoothly_from_one_window_to_the_next() -> None:
    counter = iter(range(2))

    def model(windows: Tensor) -> Tensor:
        return torch.full((1, 1, *windows.shape[-2:]), float(next(counter)))

    how = InferenceSettings(mode="slide", window=28, overlap=0.5, batch=1, blend="hann")
    row = blended(model, torch.zeros(3, 28, 42), how)[0, 0]
    # With half of each overlapped, sin^2 and cos^2 sum to 1: the mean is the second's own weight.
    torch.testing.assert_close(row[14:28], blend_weights(28, "hann")[:14])
    assert (row[:14] == 0).all()
    assert (row[28:] == 1).all()


@pytest.mark.parametrize("blend", ["uniform", "hann"])
def test_the_models_output_is_not_changed(blend: Blend) -> None:
    """A model may keep its output."""
    given_back = torch.ones(1, 1, 8, 8)
    how = InferenceSettings(mode="slide", window=8, blend=blend)
    blended(
        lambda windows: given_back[: len(windows)],
        torch.zeros(3, 8, 20),
        how.model_copy(update={"batch": 1}),
    )
    assert (given_back == 1).all()


def test_rows_are_read_from_the_top_downward_and_no_further_than_a_window_ahead() -> None:
    reads: list[tuple[int, int]] = []

    def read(top: int, left: int, height: int, width: int) -> Tensor:
        reads.append((top, height))
        return torch.zeros(3, height, width)

    how = InferenceSettings(mode="slide", window=16, overlap=0.25)
    for top, _, logits in blended_blocks(lambda windows: windows, read, (100, 30), how):
        assert reads[-1] == (top, 16)
        assert logits.shape[1] <= 16
    assert [top for top, _ in reads] == sorted(top for top, _ in reads)
