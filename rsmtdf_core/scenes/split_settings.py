"""The splits of a dataset, as a manifest declares them (tests: test_splits.py)."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rsmtdf_core.settings import MOST_COUNT, Settings
from rsmtdf_core.words import counted

SplitName = Literal["train", "val", "test"]


def _each_once(scenes: tuple[str, ...]) -> tuple[str, ...]:
    for scene, times in Counter(scenes).most_common(1):
        if times > 1:
            raise ValueError(f"the scene {scene!r} is listed {times} times")
    return scenes


SceneIds = Annotated[tuple[str, ...], AfterValidator(_each_once)]


class SplitSpec(Settings):
    """The scenes of a split, by a list or by a rule.

    Attributes:
        where: allowed values of fields of the path pattern; every field must match.
        share: the slice of the matching scenes between two shares, 0 to 1, in a random order.
        folds: numbers of folds, from 0, instead of a share: the parts of the same random order, see `Manifest.folds`.
        seed: seed of that order; splits of the same scenes use the same seed.
        by: the unit of the order: parents (all crops of a tile or raster stay together), single crops, or blocks of the
            ground or of a raster, see `BlockSpec`.
        scenes: the ids of the scenes, instead of a rule; in a file, the name of a list next to the manifest.
    """

    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    share: tuple[float, float] = (0.0, 1.0)
    folds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = Field(
        default=None, exclude_if=lambda folds: folds is None
    )
    seed: int = Field(default=0, ge=-(2**62), le=2**62)
    by: Literal["parent", "crop", "block"] = "parent"
    scenes: SceneIds | None = None

    @model_validator(mode="after")
    def _is_a_slice(self) -> Self:
        low, high = self.share
        if not 0 <= low < high <= 1:
            raise ValueError(
                f"share must be two increasing numbers between 0 and 1, found [{low}, {high}]"
            )
        if self.folds is not None and (low, high) != (0.0, 1.0):
            raise ValueError("folds are named, so share cannot be set")
        return self

    @model_validator(mode="after")
    def _is_a_list_or_a_rule(self) -> Self:
        if self.scenes is not None and self.model_copy(update={"scenes": None}) != SplitSpec():
            raise ValueError("scenes are listed, so where, share, folds, seed and by cannot be set")
        return self

    def describe(self) -> str:
        """Return the list or rule in words, for reports."""
        if self.scenes is not None:
            return counted(len(self.scenes), "listed scene")
        where = " and ".join(f"{key} {', '.join(names)}" for key, names in self.where.items())
        low, high = self.share
        if self.folds is not None:
            numbers = ", ".join(map(str, self.folds))
            drawn = f"fold{'s' if len(self.folds) > 1 else ''} {numbers} (seed {self.seed})"
        elif (low, high) == (0.0, 1.0):
            return where or "all scenes"
        else:
            drawn = f"{low:.0%} to {high:.0%} by chance (seed {self.seed})"
        if self.by != "parent":
            drawn = f"{drawn}, {self.by} by {self.by}"
        return f"{where}, {drawn}" if where else drawn


class BlockSpec(Settings):
    """Squares of a grid, which splits with `by: block` draw, so that training and scored scenes are apart in space.

    A scene belongs to the block of its center. A scene that overlaps a block of another split, or is nearer to it than
    the buffer, is in no split.

    Attributes:
        size: side of a block; blocks are at least as large as a scene.
        buffer: least distance of a scene from the blocks of other splits.
        unit: m: meters on a grid that all images share, in one projected coordinate reference system. px: pixels on a
            grid in each image, from its upper left corner.
        crs: the coordinate reference system of a grid in meters, such as "EPSG:32640"; by default that of the images,
            which must be the same.
    """

    size: float = Field(gt=0, le=MOST_COUNT)
    buffer: float = Field(default=0, ge=0, le=MOST_COUNT)
    unit: Literal["m", "px"] = "m"
    crs: str | None = Field(default=None, max_length=10_000, exclude_if=lambda crs: crs is None)

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        if self.buffer >= self.size:
            raise ValueError(
                f"a buffer of {self.buffer:g} {self.unit} leaves no scene in blocks of {self.size:g} {self.unit}"
            )
        if self.unit == "px" and self.crs is not None:
            raise ValueError("a grid in px has no crs")
        return self

    def describe(self) -> str:
        """Return size and buffer in words."""
        buffer = f" with a buffer of {self.buffer:g} {self.unit}" if self.buffer else ""
        return f"blocks of {self.size:g} {self.unit}{buffer}"
