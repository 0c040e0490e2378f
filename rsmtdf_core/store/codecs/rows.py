"""The rows of this project's codecs; their code is in the modules beside this one."""

from rsmtdf_core.kinds import CodecKind

_PACKAGE = "rsmtdf_core.store.codecs"

FP16 = CodecKind(
    name="fp16",
    summary="half precision",
    code=f"{_PACKAGE}.fp16:Fp16",
    lossless=True,
)
INT8 = CodecKind(
    name="int8",
    summary="one byte a number, half of fp16",
    code=f"{_PACKAGE}.int8:Int8",
)
TRANSFORM = CodecKind(
    name="transform",
    summary="maps compressed like pictures, 16 times smaller than fp16 or more",
    code=f"{_PACKAGE}.transform:Transform",
)
UINT8 = CodecKind(
    name="uint8",
    summary="pixels of rendered views as they are",
    code=f"{_PACKAGE}.uint8:Uint8",
    holds="pixels",
    lossless=True,
)
