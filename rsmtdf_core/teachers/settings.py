"""What names a teacher in a config: weights, preprocessing and where its tokens are taken."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticUndefined

from rsmtdf_core.choices import OneOf
from rsmtdf_core.kinds import FAMILIES, TOKEN_CODECS
from rsmtdf_core.roles import ConfigSettings, OfTeacher, Result
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
from rsmtdf_core.store.codecs import Declared, declare
from rsmtdf_core.store.codecs.settings import CodecSettings

Precision = Literal["fp32", "bf16", "fp16"]
CODEC = OneOf(TOKEN_CODECS, "name", "fp16")
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
        final_norm: take a transformer's tokens through its final LayerNorm; CNNs have none. By default True, unless the
            family has another default.
        input_size: side in px to which the normalised crop is resized; None: the crop as it is.
        mean: subtracted from the image in 0..1, per channel.
        std: what the difference is divided by.
        precision: what the forward pass computes in; tokens are float32 in any case.
        codec: how the store writes the tokens.
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
    codec: Annotated[CodecSettings, CODEC] = Field(default_factory=CODEC.make)

    @model_validator(mode="before")
    @classmethod
    def _migrated(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        """Earlier configs have the quality of the transform codec beside the codec."""
        if not isinstance(values, dict) or "quality" not in values:
            return values
        kept = {key: value for key, value in values.items() if key != "quality"}
        codec = kept.get("codec", {})
        codec = {CODEC.key: codec} if isinstance(codec, str) else codec
        if isinstance(codec, dict):
            kept["codec"] = {**codec, "quality": values["quality"]}
        return kept

    @model_validator(mode="before")
    @classmethod
    def _of_family(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the YAML holds
        """A teacher made from this class itself has the defaults of its family's class."""
        if cls is not TeacherSettings or not isinstance(values, dict):
            return values
        kind = FAMILIES.get(str(values.get("family")))
        fields = {} if kind is None else kind.settings.model_fields
        defaults = {
            key: fields[key].default
            for key in cls.model_fields.keys() & fields.keys() - values.keys()
            if fields[key].default is not PydanticUndefined
        }
        return {**defaults, **values}

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}, known are {', '.join(FAMILIES)}")
        return family

    @property
    def declared_codec(self) -> Declared:
        """The codec as its stores declare it."""
        return declare(self.codec)
