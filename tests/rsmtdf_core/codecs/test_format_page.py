"""docs/format.md is sufficient: its decoder, run as printed, returns the codec's tokens."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rsmtdf_core.codecs import declare_codec, fit_codec, make_codec

PAGE = Path(__file__).resolve().parents[3] / "docs" / "format.md"


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    """Random walks along rows and columns: most of the energy is in low frequencies."""
    steps = np.random.default_rng(0).standard_normal(shape)
    return steps.cumsum(axis=1).cumsum(axis=2).astype(np.float32) + 3


@pytest.mark.parametrize("quality", [0.9, 0.9999])
@pytest.mark.parametrize("grid", [(9, 7), (4, 11), (1, 3), (8, 8)])
def test_the_printed_decoder_reads_transform_records(quality: float, grid: tuple[int, int]) -> None:
    (printed,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    decoder: dict[str, object] = {}
    exec(printed, decoder)
    views = smooth((6, *grid, 12))
    declared = declare_codec("transform", quality=quality)
    parameters = fit_codec(declared, views)
    codec = make_codec(declared, (*grid, 12), parameters)
    for view in views:
        record = codec.encode(view)
        stored = np.empty(codec.stored_shape, codec.dtype)
        codec.unpack(record, stored)
        expected = codec.decode(torch.from_numpy(stored[None]), "cpu")[0].numpy()
        decoded = decoder["decode_transform"](record, parameters, *grid)
        assert np.abs(decoded - expected).max() < 1e-4 * np.abs(expected).max()
