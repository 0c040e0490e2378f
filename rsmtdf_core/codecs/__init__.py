"""Codecs convert tokens to the bytes of a record and back. Each codec has one file and one registry row.

Other Zarr clients see the numbers as the codec stores them.
"""

import numpy as np
from pydantic import ValidationError

from rsmtdf_core.codecs.base import (
    Codec,
    CodecClass,
    Declared,
    Packed,
    Parameters,
    Shape,
    Tokens,
)
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import CODECS, CodecKind
from rsmtdf_core.roles import ConfigSettings, Role, deciding
from rsmtdf_core.validation import validate

__all__ = [
    "Codec",
    "Declared",
    "Packed",
    "Parameters",
    "Shape",
    "Tokens",
    "declare",
    "declare_codec",
    "fit_codec",
    "make_codec",
]


def declare_codec(name: str, **keys: object) -> Declared:
    """Return the declaration of a codec by name.

    Args:
        name: name of the codec.
        keys: settings of the codec; missing keys have their defaults.

    Raises:
        ConfigError: If there is no such codec, or its settings are invalid.
    """
    return declare(validate(_kind(name).settings, {"name": name, **keys}, f"codec {name}"))


def declare(settings: ConfigSettings) -> Declared:
    """Return the declaration of a codec as JSON: name, format, and every key that affects the bytes of a record."""
    keys = deciding(settings, Role.CODEC)
    return {"name": keys["name"], "format": CODECS[keys["name"]].format, **keys}


def fit_codec(declared: Declared, sample: Tokens) -> Parameters:
    """Return the parameters to keep with a store: the channels' `mean` and `std`, and those that the codec fits.

    Args:
        declared: declaration of the codec.
        sample: tokens, float32 [n, H, W, D]; pixels (uint8) have no statistics.
    """
    fitted = dict(_class(declared["name"]).fit(declared, sample))
    if sample.dtype != np.uint8:
        channels = sample.reshape(-1, sample.shape[-1]).astype(np.float64)
        fitted["mean"] = channels.mean(axis=0).astype(np.float32)
        fitted["std"] = channels.std(axis=0).astype(np.float32)
    return fitted


def make_codec(declared: Declared, record_shape: Shape, parameters: Parameters) -> Codec:
    """Create the codec of a store.

    Raises:
        ConfigError: If the name or format is unknown.
    """
    kind = _kind(declared.get("name"))
    keys = {key: value for key, value in declared.items() if key != "format"}
    try:
        supported = declare(kind.settings.model_validate(keys))
    except ValidationError:
        supported = declare_codec(kind.name)
    if supported != declared:
        raise ConfigError(
            f"codec {declared} is not one that this version writes ({supported})",
            remedy="upgrade rsmtdf",
        )
    return _class(kind.name)(declared, record_shape, parameters)


def _class(name: str) -> CodecClass:
    codec: CodecClass = _kind(name).load()
    return codec


def _kind(name: object) -> CodecKind:
    if not isinstance(name, str) or name not in CODECS:
        raise ConfigError(f"there is no codec {name!r}", remedy=f"use one of: {', '.join(CODECS)}")
    return CODECS[name]
