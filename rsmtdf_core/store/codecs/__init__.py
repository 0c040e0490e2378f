"""How tokens become bytes: one file and one row a codec.

A codec's stored numbers are what every other Zarr client sees.
"""

import numpy as np

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import CODECS
from rsmtdf_core.store.codecs.base import (
    Codec,
    CodecClass,
    Declared,
    Packed,
    Parameters,
    Shape,
    Tokens,
)

__all__ = [
    "Codec",
    "Declared",
    "Packed",
    "Parameters",
    "Shape",
    "Tokens",
    "declare_codec",
    "fit_codec",
    "make_codec",
]

DEFAULT_QUALITY = 0.99


def declare_codec(name: str, quality: float = DEFAULT_QUALITY) -> Declared:
    """The declared JSON of the codec of that name.

    Raises:
        ConfigError: where there is none.
    """
    return _class(name).declare(quality)


def fit_codec(declared: Declared, sample: Tokens) -> Parameters:
    """What to keep with a store: the channels' `mean` and `std`, and what the codec itself fits.

    Args:
        declared: the codec.
        sample: tokens, float32 [n, H, W, D]; pixels (uint8) have no statistics.
    """
    fitted = dict(_class(declared["name"]).fit(declared, sample))
    if sample.dtype != np.uint8:
        channels = sample.reshape(-1, sample.shape[-1]).astype(np.float64)
        fitted["mean"] = channels.mean(axis=0).astype(np.float32)
        fitted["std"] = channels.std(axis=0).astype(np.float32)
    return fitted


def make_codec(declared: Declared, record_shape: Shape, parameters: Parameters) -> Codec:
    """The codec of one store.

    Raises:
        ConfigError: where its name or format is unknown.
    """
    kind = _class(declared.get("name"))
    known = kind.declare(declared.get("quality", DEFAULT_QUALITY))
    if known != declared:
        raise ConfigError(
            f"codec {declared} is not one that this version writes ({known})",
            remedy="upgrade rsmtdf",
        )
    return kind(declared, record_shape, parameters)


def _class(name: object) -> CodecClass:
    if not isinstance(name, str) or name not in CODECS:
        raise ConfigError(f"there is no codec {name!r}", remedy=f"use one of: {', '.join(CODECS)}")
    codec: CodecClass = CODECS[name].load()
    return codec
