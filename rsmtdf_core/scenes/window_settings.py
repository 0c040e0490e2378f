"""The windows of large rasters that are scenes, as a manifest declares them (tests: test_manifest.py)."""

from typing import Self

from pydantic import Field, model_validator

from rsmtdf_core.settings import MOST_COUNT, Settings


class WindowSpec(Settings):
    """Scenes are windows of `size` px, `stride` px apart; the last of a row may be smaller."""

    size: int = Field(gt=0, le=MOST_COUNT)
    stride: int = Field(gt=0, le=MOST_COUNT)

    @model_validator(mode="after")
    def _leaves_no_gaps(self) -> Self:
        if self.stride > self.size:
            raise ValueError(
                f"stride {self.stride} is larger than size {self.size}: pixels would be skipped"
            )
        return self
