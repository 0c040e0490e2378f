"""Settings of views. Together with the scenes and a seed, they determine a view plan.

The defaults are those of RS-MTDF (arXiv 2506.08772 and its official code).
"""

import math
from typing import Annotated, Final, Literal, Self

from annotated_types import Ge, Le
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

FRESH: Final = "fresh"
"""In place of a number of views: each use of a scene draws a new view."""
ViewCount = Annotated[int, Ge(1), Le(65_535)] | Literal["fresh"]

LARGEST_BOX_SIDE = 0.9
"""Maximum side of the most compact box of the largest area, relative to the crop's side.

Boxes are drawn until a box fits into the crop, which is unlikely for longer sides.
"""


class JitterSettings(ConfigSettings):
    """Color jitter of strong views, as in torchvision's ColorJitter.

    Attributes:
        p: probability of color jitter in a view.
        brightness: factors are drawn from 1 - brightness to 1 + brightness, but not below 0; 0 disables it.
        contrast: factors are drawn from 1 - contrast to 1 + contrast, but not below 0; 0 disables it.
        saturation: factors are drawn from 1 - saturation to 1 + saturation, but not below 0; 0 disables it.
        hue: shifts are drawn from -hue to hue, in turns of the color circle; 0 disables it.
    """

    p: Views[Probability] = 0.8
    brightness: Views[float] = Field(0.5, ge=0.0, le=10.0)
    contrast: Views[float] = Field(0.5, ge=0.0, le=10.0)
    saturation: Views[float] = Field(0.5, ge=0.0, le=10.0)
    hue: Views[float] = Field(0.25, ge=0.0, le=0.5)


class BlurSettings(ConfigSettings):
    """Gaussian blur of strong views.

    Attributes:
        p: probability of blur in a view.
        sigma: range of the Gaussian's standard deviation, in px.
    """

    p: Views[Probability] = 0.5
    sigma: Views[_Range] = (0.1, 2.0)


class CutMixSettings(ConfigSettings):
    """CutMix: boxes of strong views that are filled from their partner views.

    Attributes:
        p: probability of a box in a view.
        area: range of the box's area relative to the crop's area.
        aspect: range of the box's height divided by its width.
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

    They are part of every store's address. So a new key needs `exclude_if`, which omits it if it has its default.

    Attributes:
        crop: side of the square views, in px.
        scale: range of the factors by which scenes are resized before a crop.
        unlabeled_views: number of views per unlabeled scene (K); more views leave the existing views unchanged. With
            fresh, each epoch draws new views, which only works without cached tokens.
        labeled_views: number of views per labeled scene; more views leave the existing views unchanged. With fresh,
            each use of a labeled scene draws a new view. Fresh views have no cached tokens, so labeled samples are then
            only distilled with objective.teachers: online.
        without_teachers: views of methods that use no teachers, and therefore need no cache: planned, the numbers
            above; or fresh, a new view at each use of any scene. Other methods ignore it.
        flip: probability of a horizontal flip.
        vertical_flip: probability of a vertical flip. Images that are taken from above have no upright side.
        quarter_turns: probability of a rotation by 0, 90, 180 or 270 degrees, with equal shares.
        jitter: color jitter of strong views.
        grayscale: probability that a strong view is converted to grayscale.
        blur: Gaussian blur of strong views.
        cutmix: boxes of mixed views.
        teacher_sees: the view of an unlabeled scene that the teachers see. "mixed" is the reference; with "strong", the
            training loop draws CutMix again in every epoch, and with "weak" also all photometric changes.
    """

    crop: Views[int] = Field(518, ge=14, le=MOST_SIDE)
    scale: Views[_Range] = (0.5, 2.0)
    unlabeled_views: Result[ViewCount] = 4
    labeled_views: Result[ViewCount] = 4
    without_teachers: Result[Literal["planned", "fresh"]] = Field(
        "planned", exclude_if=lambda views: views == "planned"
    )
    flip: Views[Probability] = 0.5
    vertical_flip: Views[Probability] = Field(0.0, exclude_if=lambda p: p == 0)
    quarter_turns: Views[Probability] = Field(0.0, exclude_if=lambda p: p == 0)
    jitter: JitterSettings = JitterSettings()
    grayscale: Views[Probability] = 0.2
    blur: BlurSettings = BlurSettings()
    cutmix: CutMixSettings = CutMixSettings()
    teacher_sees: Views[Literal["mixed", "strong", "weak"]] = "mixed"

    def in_force(self, *, teachers: bool) -> "ViewSettings":
        """Return the settings that training uses, with or without teachers: `without_teachers` is applied and reset."""
        if self.without_teachers == "planned":
            return self
        counts = {} if teachers else {"unlabeled_views": FRESH, "labeled_views": FRESH}
        return self.model_copy(update={**counts, "without_teachers": "planned"})

    @property
    def planned_unlabeled(self) -> int:
        """Number of views per unlabeled scene in the plan; 0 if they are fresh."""
        return 0 if self.unlabeled_views == FRESH else self.unlabeled_views

    @property
    def planned_labeled(self) -> int:
        """Number of views per labeled scene in the plan; 0 if they are fresh."""
        return 0 if self.labeled_views == FRESH else self.labeled_views
