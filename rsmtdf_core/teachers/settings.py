"""What names a teacher in a config: weights, preprocessing and where its tokens are taken."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rsmtdf_core.kinds import FAMILIES, token_codecs
from rsmtdf_core.roles import ConfigSettings, OfCodec, OfTeacher, Result
from rsmtdf_core.settings import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LONGEST_NAME,
    MOST_SIDE,
    Mean,
    Seed,
    Spread,
    WeightsName,
)
from rsmtdf_core.store.codecs import DEFAULT_QUALITY, Declared, declare_codec

Precision = Literal["fp32", "bf16", "fp16"]
PerChannel = tuple[Mean, Mean, Mean]


class TeacherSettings(ConfigSettings):
    """One teacher.

    Attributes:
        name: what the config, the stores and the student's translator call it.
        family: the library that builds it, a name in `kinds.FAMILIES`.
        model: the library's name of the model, with its weights' tag after a dot where there are
            several ("vit_base_patch14_dinov2.lvd142m", "ViT-L-14-quickgelu.openai").
        weights: "hub" (the library's own weights), "random", or the path of a weights file.
        weights_sha256: sha256 of the weights file, 64 hex digits; a file that differs is refused.
        seed: seed of random weights.
        block: the transformer block whose output is taken, or the feature level of a CNN; negative
            numbers count from the last.
        final_norm: take a transformer's tokens through its final LayerNorm; CNNs have none. By default as the
            family's row has it.
        input_size: side in px to which the normalised crop is resized; None: the crop as it is.
        mean: subtracted from the image in 0..1, per channel.
        std: what the difference is divided by.
        precision: what the forward pass computes in; tokens are float32 in any case.
        codec: how the store writes the tokens: fp16, int8, or transform (16 times smaller or more).
        quality: mean-centred cosine that the transform codec keeps on average.
    """

    name: Result[str] = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)
    family: OfTeacher[str]
    model: OfTeacher[str] = Field(max_length=LONGEST_NAME)
    weights: OfTeacher[WeightsName] = "hub"
    weights_sha256: OfTeacher[str | None] = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    seed: OfTeacher[Seed] = 0
    block: OfTeacher[int] = Field(default=-1, ge=-10_000, le=10_000)
    final_norm: OfTeacher[bool] = True
    input_size: OfTeacher[int | None] = Field(default=None, gt=0, le=MOST_SIDE)
    mean: OfTeacher[PerChannel] = IMAGENET_MEAN
    std: OfTeacher[tuple[Spread, Spread, Spread]] = IMAGENET_STD
    precision: OfTeacher[Precision] = "fp32"
    codec: OfCodec[str] = "fp16"
    quality: OfCodec[float] = Field(default=DEFAULT_QUALITY, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _family_default(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        if isinstance(values, dict) and "final_norm" not in values:
            kind = FAMILIES.get(str(values.get("family")))
            return values if kind is None else values | {"final_norm": kind.final_norm}
        return values

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}, known are {', '.join(FAMILIES)}")
        return family

    @field_validator("codec")
    @classmethod
    def _known_codec(cls, codec: str) -> str:
        known = token_codecs()
        if codec not in known:
            raise ValueError(f"unknown codec {codec!r}, known are {', '.join(known)}")
        return codec

    @property
    def declared_codec(self) -> Declared:
        """The codec as its stores declare it."""
        return declare_codec(self.codec, self.quality)
