"""The windows of large rasters that are scenes, as a manifest declares them (tests: test_manifest.py)."""

from typing import Self

from pydantic import Field, model_validator

from rsmtdf_core.settings import MOST_COUNT, Settings


class RandomWindows(Settings):
    """Training windows at random positions in the area of the training windows of the grid.

    Attributes:
        labeled: number of windows with labels, of all images together.
        unlabeled: number of windows without labels.
        seed: seed of the positions.
    """

    labeled: int = Field(default=0, ge=0, le=MOST_COUNT)
    unlabeled: int = Field(default=0, ge=0, le=MOST_COUNT)
    seed: int = Field(default=0, ge=-(2**62), le=2**62)

    @model_validator(mode="after")
    def _draws_windows(self) -> Self:
        if not self.labeled and not self.unlabeled:
            raise ValueError("expected a number of labeled or unlabeled windows")
        return self

    def describe(self) -> str:
        """Return the numbers in words."""
        kinds = f"{self.labeled:,} labeled and {self.unlabeled:,} unlabeled windows"
        return f"{kinds} at random positions (seed {self.seed})"


class WindowSpec(Settings):
    """Scenes are windows of `size` px, `stride` px apart; the last of a row may be smaller.

    Attributes:
        size: side of a window, px.
        stride: distance of neighboring windows, px.
        random: training windows at random positions instead of those of the grid.
    """

    size: int = Field(gt=0, le=MOST_COUNT)
    stride: int = Field(gt=0, le=MOST_COUNT)
    random: RandomWindows | None = Field(default=None, exclude_if=lambda random: random is None)

    @model_validator(mode="after")
    def _leaves_no_gaps(self) -> Self:
        if self.stride > self.size:
            raise ValueError(
                f"stride {self.stride} is larger than size {self.size}: pixels would be skipped"
            )
        return self
