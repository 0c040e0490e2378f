"""How a trained model is run over whole scenes; a report carries it, as it changes the scores."""

from typing import Literal

from pydantic import Field

from rsmtdf_core.settings import Settings

Blend = Literal["uniform", "hann"]


class InferenceSettings(Settings):
    """How a scene of any size passes through the model.

    Attributes:
        mode: `whole` resizes the scene to the nearest size that the model takes; `slide` averages
            the logits of overlapping windows at the scene's own resolution.
        blend: how overlapping windows count: all alike, or less toward their borders (a Hann
            window), where a model sees less around a pixel.
        window: side in px of a sliding window; a multiple of the model's patch.
        overlap: share of a window that the next one covers again, in [0, 1).
        batch: most windows that the model sees at a time.
    """

    mode: Literal["whole", "slide"] = "whole"
    blend: Blend = "uniform"
    window: int = Field(default=518, gt=0)
    overlap: float = Field(default=0.33, ge=0.0, lt=1.0)
    batch: int = Field(default=4, gt=0)
