"""Codecs by name, and their parameters fitted on a first sample."""

import numpy as np
import pytest

from rsmtdf_core.codecs import declare_codec, fit_codec, make_codec
from rsmtdf_core.errors import ConfigError

SHAPE = (3, 5, 7)


def test_an_unknown_codec_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="fp16"):
        declare_codec("fp61")
    with pytest.raises(ConfigError, match="int8"):
        make_codec({"name": ["fp16"]}, SHAPE, {})


def test_a_codec_of_another_format_is_refused() -> None:
    declared = {**declare_codec("int8"), "format": 2}
    with pytest.raises(ConfigError, match="upgrade"):
        make_codec(declared, SHAPE, {})


def test_features_have_channel_statistics_and_pixels_have_none() -> None:
    sample = np.random.default_rng(0).standard_normal((4, *SHAPE), np.float32) * 3 + 100
    fitted = fit_codec(declare_codec("int8"), sample)
    assert np.allclose(fitted["mean"], sample.mean(axis=(0, 1, 2), dtype=np.float64))
    assert np.allclose(fitted["std"], sample.std(axis=(0, 1, 2), dtype=np.float64))
    assert all(array.dtype == np.float32 for array in fitted.values())
    assert fit_codec(declare_codec("uint8"), sample.astype(np.uint8)) == {}
