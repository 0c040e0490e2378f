"""Settings for predicting whole scenes. They change the scores, so reports include them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rsmtdf_core.roles import ConfigSettings, Scoring, Speed

InferenceScale = Annotated[float, Field(ge=0.01, le=8)]
Blend = Literal["uniform", "hann"]


class InferenceSettings(ConfigSettings):
    """Settings for predicting a scene of any size.

    Attributes:
        mode: `whole` resizes the scene to the nearest size that the model accepts; `slide` averages
            the logits of overlapping windows at the scene's resolution.
        blend: weights of overlapping windows: `uniform`, or `hann`, which decreases toward the
            borders of a window, because the model sees less context there.
        window: side of a sliding window in px; a multiple of the model's patch size.
        overlap: share of a window that the next window also covers, in [0, 1).
        batch: maximum number of windows in a forward pass.
        scales: sizes relative to the scene; the class probabilities of all sizes are averaged.
        flips: mirrored copies to average over, at each scale. The cost grows with the number of
            scales times one more than the number of flips.
    """

    mode: Scoring[Literal["whole", "slide"]] = "whole"
    blend: Scoring[Blend] = "uniform"
    window: Scoring[int] = Field(default=518, gt=0, le=16_384)
    overlap: Scoring[float] = Field(default=0.33, ge=0.0, lt=1.0)
    batch: Speed[int] = Field(default=4, gt=0, le=65_536)
    scales: Scoring[tuple[InferenceScale, ...]] = (1.0,)
    flips: Scoring[tuple[Literal["horizontal", "vertical"], ...]] = ()

    def describe(self) -> str:
        """Describe the settings in words for reports, except for the batch, which does not affect scores."""
        words: list[str] = [self.mode]
        if self.mode == "slide":
            words += [
                f"window {self.window} px",
                f"overlap {self.overlap:g}",
                f"blend {self.blend}",
            ]
        if self.scales != (1.0,):
            words.append(f"scales {' '.join(f'{scale:g}' for scale in self.scales)}")
        if self.flips:
            words.append(f"flips {' '.join(self.flips)}")
        return ", ".join(words)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if not self.scales:
            raise ValueError("scales: give at least one, such as [1]")
        for key, values in (("scales", self.scales), ("flips", self.flips)):
            if len(set(values)) < len(values):
                raise ValueError(
                    f"{key}: give each value once, found {', '.join(map(str, values))}"
                )
        return self
