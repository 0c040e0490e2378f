"""How tokens become bytes: one file and one row a codec.

A codec's stored numbers are what every other Zarr client sees.
"""

import numpy as np
from pydantic import ValidationError

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import CODECS, CodecKind
from rsmtdf_core.roles import ConfigSettings, Role, deciding
from rsmtdf_core.store.codecs.base import (
    Codec,
    CodecClass,
    Declared,
    Packed,
    Parameters,
    Shape,
    Tokens,
)
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
    """The declared JSON of the codec of that name.

    Args:
        name: the codec.
        keys: its settings, if not their defaults.

    Raises:
        ConfigError: there is no such codec, or its settings are wrong.
    """
    return declare(validate(_kind(name).settings, {"name": name, **keys}, f"codec {name}"))


def declare(settings: ConfigSettings) -> Declared:
    """The declared JSON of a codec's settings: its name and format, and every key that decides a record's bytes."""
    chosen = deciding(settings, Role.CODEC)
    return {"name": chosen["name"], "format": CODECS[chosen["name"]].format, **chosen}


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
    kind = _kind(declared.get("name"))
    keys = {key: value for key, value in declared.items() if key != "format"}
    try:
        known = declare(kind.settings.model_validate(keys))
    except ValidationError:
        known = declare_codec(kind.name)
    if known != declared:
        raise ConfigError(
            f"codec {declared} is not one that this version writes ({known})",
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
