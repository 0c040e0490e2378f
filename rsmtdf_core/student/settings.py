"""What a config says about the student; the defaults are those of the published recipe."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from rsmtdf_core.roles import ConfigSettings, Result, Taught
from rsmtdf_core.settings import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LONGEST_NAME,
    Mean,
    Spread,
    WeightsName,
)

_Tap = Annotated[int, Field(ge=-10_000, le=10_000)]
# YAML reads a bare `off` as false.
_Mode = Annotated[
    Literal["weighted", "attention", "off"],
    BeforeValidator(lambda mode: "off" if mode is False else mode),
]
HeadSize = Literal["small", "base", "large", "giant"]
ModelName = Literal["ema", "student"]
"""The two models of a run: the exponential moving average of the student, and the student itself."""


class FusionSettings(ConfigSettings):
    """How translated tokens flow back into the student's last tap.

    Attributes:
        mode: "weighted" adds them, "attention" learns at each place how much of each counts, "off"
            leaves the tap alone (translators then serve the loss).
        student_weight: weight of the student's own features, [0, 1]; attention starts from it.
        teacher_weights: weight of each teacher by name; None shares the rest equally.
    """

    mode: Taught[_Mode] = "weighted"
    student_weight: Taught[float] = Field(default=0.8, ge=0.0, le=1.0)
    teacher_weights: Taught[dict[str, Annotated[float, Field(ge=-1000, le=1000)]] | None] = None


class StudentSettings(ConfigSettings):
    """The network that is trained.

    Attributes:
        encoder: a timm model name: a plain vision transformer, or a CNN with four levels or more.
        weights: "hub" (from the hub's local cache, which stage one fills), "random", or the path of
            a weights file.
        mean: subtracted from the image in 0..1, per band of the first three; ImageNet's, as the reference has it.
        std: what the difference is divided by.
        taps: the four blocks (ViT) or levels (CNN) that feed the head, from 0, rising. None takes
            the reference's blocks by depth, and a CNN's last four levels.
        head: width of the DPT head, named after the encoder size it was made for.
        second_encoding: how a teacher is translated that sees crops at a smaller size (the reference's CLIP):
            "own" runs the encoder again at that size, as the reference does; "shared" resamples the
            last tap of the one pass, which is cheaper.
        translator_hidden: width of the hidden layer of each teacher's translator.
        fusion: how translated tokens flow back.
    """

    encoder: Result[str] = Field(
        default="vit_small_patch14_dinov2.lvd142m", max_length=LONGEST_NAME
    )
    weights: Result[WeightsName] = "hub"
    mean: Result[tuple[Mean, Mean, Mean]] = IMAGENET_MEAN
    std: Result[tuple[Spread, Spread, Spread]] = IMAGENET_STD
    taps: Result[tuple[_Tap, _Tap, _Tap, _Tap] | None] = None
    head: Result[HeadSize] = "small"
    second_encoding: Taught[Literal["own", "shared"]] = "own"
    translator_hidden: Taught[int] = Field(default=1024, ge=1, le=65_536)
    fusion: FusionSettings = FusionSettings()
