import numpy as np
import pytest
import torch

from rsmtdf_core.errors import ConfigError, StoreError
from rsmtdf_core.store.codecs import get_codec

SHAPE = (3, 5, 7)


def test_fp16_gives_back_what_half_precision_holds() -> None:
    codec = get_codec("fp16")
    tokens = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    packed = codec.encode(tokens)
    assert packed.nbytes == codec.record_bytes(SHAPE)
    stored = codec.view(packed, SHAPE)
    assert np.array_equal(stored, tokens.astype(np.float16))
    decoded = codec.decode(torch.from_numpy(stored[None]), "cpu")
    assert decoded.dtype == torch.float32
    assert np.array_equal(decoded[0].numpy(), stored.astype(np.float32))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.nan, "finite"),
        (-np.nan, "finite"),
        (np.inf, "finite"),
        (-np.inf, "finite"),
        (1e5, "half precision"),
        (-7e4, "70000"),
    ],
)
def test_fp16_refuses_what_it_cannot_hold(value: float, told: str) -> None:
    tokens = np.zeros(SHAPE, np.float32)
    tokens[1, 2, 3] = value
    with pytest.raises(StoreError, match=told):
        get_codec("fp16").encode(tokens)


def test_an_unknown_codec_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="fp16"):
        get_codec("fp61")
