"""Registry rows of this project's codecs. The code is in the other modules of this package."""

from typing import Literal

from pydantic import Field

from rsmtdf_core.cache_names import MASKS
from rsmtdf_core.codecs.settings import CodecSettings
from rsmtdf_core.kinds import CodecKind
from rsmtdf_core.roles import OfCodec

_PACKAGE = "rsmtdf_core.codecs"


class Fp16Settings(CodecSettings):
    """Half precision."""

    name: OfCodec[Literal["fp16"]]


class Int8Settings(CodecSettings):
    """One byte per number."""

    name: OfCodec[Literal["int8"]]


class TransformSettings(CodecSettings):
    """Token maps compressed like images.

    Attributes:
        quality: average cosine similarity to the original tokens, both mean-centered, that the codec preserves.
    """

    name: OfCodec[Literal["transform"]]
    quality: OfCodec[float] = Field(default=0.99, gt=0, lt=1)


class Uint8Settings(CodecSettings):
    """Uncompressed pixels."""

    name: OfCodec[Literal["uint8"]]


FP16 = CodecKind(
    name="fp16",
    summary="half precision",
    code=f"{_PACKAGE}.fp16:Fp16",
    settings=Fp16Settings,
    lossless=True,
)
INT8 = CodecKind(
    name="int8",
    summary="one byte per number, half the size of fp16",
    code=f"{_PACKAGE}.int8:Int8",
    settings=Int8Settings,
)
TRANSFORM = CodecKind(
    name="transform",
    summary="token maps compressed like images, at least 16 times smaller than fp16",
    code=f"{_PACKAGE}.transform:Transform",
    settings=TransformSettings,
)
UINT8 = CodecKind(
    name="uint8",
    summary="uncompressed pixels of rendered views",
    code=f"{_PACKAGE}.uint8:Uint8",
    settings=Uint8Settings,
    holds="pixels",
    files=(MASKS,),
    lossless=True,
)
