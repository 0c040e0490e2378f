"""Settings of the student. The defaults are those of the published recipe."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from rsmtdf_core.roles import ConfigSettings, Result, Taught
from rsmtdf_core.settings import (
    LONGEST_NAME,
    Mean,
    Spread,
    WeightsName,
)

_Tap = Annotated[int, Field(ge=-10_000, le=10_000)]
_Stages = Annotated[int, Field(ge=0, le=10_000)] | Literal["all"]
# YAML reads a bare `off` as false.
_Mode = Annotated[
    Literal["weighted", "attention", "off"],
    BeforeValidator(lambda mode: "off" if mode is False else mode),
]
HeadSize = Literal["small", "base", "large", "giant"]
ModelName = Literal["ema", "student"]
"""The two models of a run: the exponential moving average of the student, and the student itself."""


class FusionSettings(ConfigSettings):
    """Fusion of translated tokens into the student's last tap.

    Attributes:
        mode: "weighted" adds them with fixed weights, "attention" learns weights for each position, "off" disables
            fusion, so that translators are only used in the loss.
        student_weight: weight of the student's features, in [0, 1]; initial value of mode attention.
        teacher_weights: weight of each teacher by name; None divides the remaining weight equally.
    """

    mode: Taught[_Mode] = "weighted"
    student_weight: Taught[float] = Field(default=0.8, ge=0.0, le=1.0)
    teacher_weights: Taught[dict[str, Annotated[float, Field(ge=-1000, le=1000)]] | None] = None


class StudentSettings(ConfigSettings):
    """Architecture and initial weights of the student.

    Attributes:
        encoder: name of a timm model that outputs feature maps: a vision transformer, a CNN or another pyramid; or
            `hf-hub:owner/name`.
        weights: "hub" (from the hub's local cache, filled by `rsmtdf extract-features`), "random", or the path of a
            weights file.
        mean: mean to subtract from the image in 0..1, for each of the first three bands; None takes the mean that the
            model was trained with.
        std: standard deviation to divide by, for each of the first three bands; None takes that of the model.
        taps: indices, in increasing order, of the four blocks (ViT) or levels (CNN) that feed the head. None selects
            the reference's blocks by depth, or a CNN's last four levels.
        frozen_stages: stages of the encoder that keep their initial weights and batch-norm statistics. n freezes the
            stem and the first n blocks (ViT) or stages (CNN), 0 the stem, "all" the whole encoder; None freezes none.
        frozen_batch_norm: whether the batch norms of the encoder normalize by their initial statistics in training,
            and not by those of the batch; their scale and shift still train. It has no effect without batch norms.
        head: width of the DPT head, named after the encoder size that it was designed for.
        second_encoding: features that are translated to a teacher with a smaller input size (CLIP in the reference):
            "own" runs the encoder again at that size, as in the reference; "shared" resamples the last tap of the
            first pass, which is cheaper.
        translator_input: features that are translated to teachers' tokens: "last", the last tap, as in the reference;
            or "pyramid", all four taps on each teacher's grid. The last tap of a CNN has cells of 32 px, too coarse for
            the tokens of a transformer. With "pyramid", tokens are fused into all four taps, and no teacher has a
            second pass.
        translator_hidden: width of the hidden layer of each teacher's translator.
        fusion: fusion of translated tokens into the last tap.
    """

    encoder: Result[str] = Field(
        default="vit_small_patch14_dinov2.lvd142m", max_length=LONGEST_NAME
    )
    weights: Result[WeightsName] = "hub"
    mean: Result[tuple[Mean, Mean, Mean] | None] = None
    std: Result[tuple[Spread, Spread, Spread] | None] = None
    taps: Result[tuple[_Tap, _Tap, _Tap, _Tap] | None] = None
    frozen_stages: Result[_Stages | None] = None
    frozen_batch_norm: Result[bool] = False
    head: Result[HeadSize] = "small"
    second_encoding: Taught[Literal["own", "shared"]] = "own"
    translator_input: Taught[Literal["last", "pyramid"]] = Field(
        "last", exclude_if=lambda source: source == "last"
    )
    translator_hidden: Taught[int] = Field(default=1024, ge=1, le=65_536)
    fusion: FusionSettings = FusionSettings()

    @property
    def overruled(self) -> dict[str, str]:
        """The source of a second pass that no teacher has."""
        if self.translator_input == "last":
            return {}
        return {"second_encoding": "with translator_input: pyramid, which has no second pass"}
