"""How views are made: the settings that, with the scenes and a seed, determine a view plan.

The defaults are the recipe of RS-MTDF (arXiv 2506.08772 and its official code).
"""

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rsmtdf_core.roles import ConfigSettings, Result, Views
from rsmtdf_core.settings import MOST_SIDE


def _between(least: float, most: float) -> AfterValidator:
    def check(bounds: tuple[float, float]) -> tuple[float, float]:
        low, high = bounds
        if low > high:
            raise ValueError(f"expected the lower bound first, found {low} > {high}")
        if low < least or high > most:
            raise ValueError(
                f"expected numbers from {least:g} to {most:g}, found {low:g} and {high:g}"
            )
        return bounds

    return AfterValidator(check)


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
_Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
_Pair = tuple[_Positive, _Positive]
_Range = Annotated[_Pair, _between(0.01, 100)]

LARGEST_BOX_SIDE = 0.9
"""Share of the crop's side that the most compact box of the largest area may have.

Boxes are drawn until one fits; those with longer sides would hardly ever fit.
"""


class JitterSettings(ConfigSettings):
    """Colour jitter of strong views, with the meaning of torchvision's ColorJitter.

    Attributes:
        p: probability that a view is jittered at all.
        brightness: factors are drawn from 1 -/+ this, not below 0; 0 leaves the operation out.
        contrast: as `brightness`.
        saturation: as `brightness`.
        hue: shifts are drawn from -/+ this, in turns of the colour circle; 0 leaves it out.
    """

    p: Views[Probability] = 0.8
    brightness: Views[float] = Field(0.5, ge=0.0, le=10.0)
    contrast: Views[float] = Field(0.5, ge=0.0, le=10.0)
    saturation: Views[float] = Field(0.5, ge=0.0, le=10.0)
    hue: Views[float] = Field(0.25, ge=0.0, le=0.5)


class BlurSettings(ConfigSettings):
    """Gaussian blur of strong views.

    Attributes:
        p: probability that a view is blurred.
        sigma: range of the Gaussian's standard deviation, px.
    """

    p: Views[Probability] = 0.5
    sigma: Views[_Range] = (0.1, 2.0)


class CutMixSettings(ConfigSettings):
    """Boxes that strong views take from their partners.

    Attributes:
        p: probability that a view has a box.
        area: range of the box's share of the crop's area.
        aspect: range of the box's height over its width.
    """

    p: Views[Probability] = 0.5
    area: Views[Annotated[_Pair, _between(1e-6, 1)]] = (0.02, 0.4)
    aspect: Views[_Range] = (0.3, 1 / 0.3)

    @model_validator(mode="after")
    def _boxes_fit(self) -> Self:
        compact = min(max(self.aspect[0], 1.0), self.aspect[1])
        side = math.sqrt(self.area[1] * max(compact, 1 / compact))
        if side > LARGEST_BOX_SIDE:
            raise ValueError(
                f"boxes of area {self.area[1]} and aspect {compact:.3g} are {side:.2f} crops long, "
                f"expected at most {LARGEST_BOX_SIDE}: lower area or bring aspect nearer to 1"
            )
        return self


class ViewSettings(ConfigSettings):
    """All settings of a view plan.

    They are part of every address: a key that is added is to be told only where it is not the default (`exclude_if`).

    Attributes:
        crop: side of the square views, px.
        scale: a scene is resized so that its long side is this range times its own.
        unlabeled_views: views per unlabeled scene (K); the draws of those there are do not depend
            on it.
        labeled_views: the same for labeled scenes.
        flip: probability of a horizontal mirror.
        jitter: colour jitter of strong views.
        grayscale: probability that a strong view is grey.
        blur: blur of strong views.
        cutmix: boxes of mixed views.
        teacher_sees: which view of an unlabeled scene the teachers see. "mixed" is the reference;
            "strong" leaves CutMix, "weak" all photometric change to the training loop, fresh every
            epoch.
    """

    crop: Views[int] = Field(518, ge=14, le=MOST_SIDE)
    scale: Views[_Range] = (0.5, 2.0)
    unlabeled_views: Result[int] = Field(4, ge=1, le=65_535)
    labeled_views: Result[int] = Field(4, ge=1, le=65_535)
    flip: Views[Probability] = 0.5
    jitter: JitterSettings = JitterSettings()
    grayscale: Views[Probability] = 0.2
    blur: BlurSettings = BlurSettings()
    cutmix: CutMixSettings = CutMixSettings()
    teacher_sees: Views[Literal["mixed", "strong", "weak"]] = "mixed"
