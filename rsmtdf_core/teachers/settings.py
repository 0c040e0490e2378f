"""Settings of a teacher: weights, preprocessing and tap."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticUndefined

from rsmtdf_core.choices import OneOf
from rsmtdf_core.codecs import Declared, declare
from rsmtdf_core.codecs.settings import CodecSettings
from rsmtdf_core.kinds import FAMILIES, TOKEN_CODECS
from rsmtdf_core.roles import ConfigSettings, OfTeacher, Result
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.settings import (
    LONGEST_NAME,
    MOST_SIDE,
    Mean,
    Seed,
    Spread,
    WeightsName,
)

Precision = Literal["fp32", "bf16", "fp16"]
CODEC = OneOf(TOKEN_CODECS, "name", "fp16")
Band = Annotated[int, Field(ge=1, le=65_536)]


class TeacherSettings(ConfigSettings):
    """A teacher: a frozen model whose tokens the student learns from.

    Attributes:
        name: name of the teacher in the config, in stores and in the student's translators.
        family: the library that builds the model; `rsmtdf config kinds` lists all families.
        model: name of the model in the library, with the tag of its weights after a dot if there are several, such as
            "vit_base_patch14_dinov2.lvd142m" or "ViT-L-14-quickgelu.openai".
        weights: "hub" (the library's published weights), "random", or the path of a weights file.
        weights_sha256: expected sha256 of the weights file, 64 hex digits; any other file is refused.
        seed: seed of random weights.
        block: the transformer block, or the feature level of a CNN, that outputs the tokens; negative numbers count
            from the last.
        final_norm: whether a transformer's final LayerNorm is applied to the tokens; CNNs have none. The default
            depends on the family.
        input_size: side in px to which the normalized crop is resized; None keeps the size of the crop.
        bands: the bands of the manifest that the teacher sees, in the order of its input; counted from 1 in the
            manifest's `bands.indices`. None selects the first three.
        mean: mean to subtract from the image in 0..1, per band; None takes the mean that the model was trained with.
        std: standard deviation to divide by, per band; None takes that of the model.
        precision: precision of the forward pass; tokens are always returned as float32.
        codec: the codec of the tokens in the store.
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
    bands: OfTeacher[tuple[Band, ...] | None] = Field(default=None, min_length=1)
    mean: OfTeacher[tuple[Mean, ...] | None] = None
    std: OfTeacher[tuple[Spread, ...] | None] = None
    precision: OfTeacher[Precision] = "fp32"
    codec: Annotated[CodecSettings, CODEC] = Field(default_factory=CODEC.make)

    @model_validator(mode="before")
    @classmethod
    def _migrated(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Move the quality of the transform codec, a key of the teacher in earlier versions, into the codec."""
        if not isinstance(values, dict) or "quality" not in values:
            return values
        migrated = {key: value for key, value in values.items() if key != "quality"}
        codec = migrated.get("codec", {})
        codec = {CODEC.key: codec} if isinstance(codec, str) else codec
        if isinstance(codec, dict):
            migrated["codec"] = {**codec, "quality": values["quality"]}
        return migrated

    @model_validator(mode="before")
    @classmethod
    def _of_family(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Apply the defaults of the family to a teacher that is created from this base class."""
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

    @model_validator(mode="after")
    def _fits_bands(self) -> Self:
        count = len(self.seen_bands)
        for key in ("mean", "std"):
            numbers = getattr(self, key)
            if numbers is None and not self.has_statistics:
                raise ValueError(f"{key}: give a number for each of the {count} bands")
            if numbers is not None and len(numbers) != count:
                raise ValueError(f"{key}: found {len(numbers)} numbers for {count} bands")
        return self

    @property
    def seen_bands(self) -> tuple[int, ...]:
        """The bands of a view that the teacher sees, counted from 1."""
        return self.bands or tuple(range(1, SHOWN + 1))

    @property
    def has_statistics(self) -> bool:
        """Whether the mean and std of the teacher's bands are known without those of the config."""
        return len(self.seen_bands) == SHOWN

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}, known are {', '.join(FAMILIES)}")
        return family

    @property
    def declared_codec(self) -> Declared:
        """The codec as declared in stores."""
        return declare(self.codec)
