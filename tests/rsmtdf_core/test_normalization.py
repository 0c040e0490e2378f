"""Pixels are normalized as in the networks' training: scaled to 0..1, then standardized by band."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.normalization import normalise
from rsmtdf_core.settings import IMAGENET_MEAN, IMAGENET_STD


@given(
    st.lists(
        st.tuples(st.floats(-1, 2), st.floats(0.01, 3)),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 2**16),
)
def test_each_band_is_standardized_separately(statistics, seed):
    mean, std = zip(*statistics, strict=True)
    images = torch.randint(
        0,
        256,
        (2, len(mean), 3, 4),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(seed),
    )
    normalized = normalise(images, mean, std)
    assert normalized.dtype == torch.float32
    for band in range(len(mean)):
        expected = (images[:, band].double() / 255 - mean[band]) / std[band]
        assert torch.allclose(normalized[:, band].double(), expected, rtol=1e-5, atol=1e-4)


def test_the_default_is_imagenets():
    images = torch.randint(0, 256, (1, 3, 2, 2), dtype=torch.uint8)
    assert torch.equal(normalise(images), normalise(images, IMAGENET_MEAN, IMAGENET_STD))
    assert not torch.equal(normalise(images), normalise(images, (0.5,) * 3, (0.5,) * 3))
