"""How a trained model is run over whole scenes; a report carries it, as it changes the scores."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rsmtdf_core.roles import ConfigSettings, Scoring, Speed

InferenceScale = Annotated[float, Field(ge=0.01, le=8)]
Blend = Literal["uniform", "hann"]


class InferenceSettings(ConfigSettings):
    """How a scene of any size passes through the model.

    Attributes:
        mode: `whole` resizes the scene to the nearest size that the model takes; `slide` averages
            the logits of overlapping windows at the scene's own resolution.
        blend: how overlapping windows count: all alike, or less toward their borders (a Hann
            window), where a model sees less around a pixel.
        window: side in px of a sliding window; a multiple of the model's patch.
        overlap: share of a window that the next one covers again, in [0, 1).
        batch: most windows that the model sees at a time.
        scales: sizes relative to the scene's own that it passes through at; their class probabilities are averaged.
        flips: mirrored copies that pass through beside each size, averaged with it. The work grows by the number of
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
        """The same in words, for reports; the batch decides nothing."""
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
            raise ValueError("scales: at least one is needed, such as [1]")
        for key, values in (("scales", self.scales), ("flips", self.flips)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: each counts once, found {', '.join(map(str, values))}")
        return self
