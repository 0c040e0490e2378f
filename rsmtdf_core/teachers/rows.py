"""Registry rows of this project's teacher families and their settings (tests: test_olmoearth_family.py)."""

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rsmtdf_core.kinds import FamilyKind
from rsmtdf_core.roles import OfTeacher
from rsmtdf_core.scenes.bands import Scale, pair_for_each, require_scale
from rsmtdf_core.teachers.settings import TeacherSettings


class TimmSettings(TeacherSettings):
    """A teacher from timm."""

    family: OfTeacher[Literal["timm"]]


class OpenClipSettings(TeacherSettings):
    """A teacher from open_clip."""

    family: OfTeacher[Literal["open_clip"]]
    # The final LayerNorm, `ln_post`, belongs to the projection; the reference takes the tokens before it.
    final_norm: OfTeacher[bool] = False


class OlmoEarthSettings(TeacherSettings):
    """A teacher from OlmoEarth, which knows the bands of its sensor by name.

    Attributes:
        sensor: the sensor of the images: Sentinel-2 (level 2A), or Landsat 8 and 9 (level 1).
        bands: the bands of the manifest that the teacher sees; None selects the first ones, as many as `band_names`.
        band_names: the sensor's names of these bands, such as B04 or B8A, in the same order.
        scale: the sensor's values that are 0 and 255 in the views, [low, high] for all bands or a pair for each: the
            manifest's bands.scale in the units of the model. For Sentinel-2 these are 10,000 times the reflectance,
            without the offset of 1000 of products since 2022. The default mean and std follow from it.
        month: month of the images, 1 to 12; July, by default, is the month of the model's own evaluation of images
            without a date.
        resolution: size of a pixel of the scenes in m.
        patch: side of a patch in px, 1 to 8; other sizes than 8 are interpolated.
    """

    family: OfTeacher[Literal["olmoearth"]]
    sensor: OfTeacher[Literal["sentinel2", "landsat"]] = "sentinel2"
    band_names: OfTeacher[tuple[str, ...]] = Field(default=("B04", "B03", "B02"), min_length=1)
    scale: OfTeacher[Scale | None] = None
    month: OfTeacher[int] = Field(default=7, ge=1, le=12)
    resolution: OfTeacher[float] = Field(default=10, gt=0, le=1000)
    patch: OfTeacher[int] = Field(default=8, ge=1, le=8)

    @field_validator("scale", mode="before")
    @classmethod
    def _for_each_band(cls, scale: object, info: ValidationInfo) -> object:
        return pair_for_each(scale, info.data.get("band_names", ()))

    @model_validator(mode="after")
    def _fits_names(self) -> Self:
        names = self.band_names
        if len(set(names)) < len(names):
            raise ValueError(f"band_names: a name occurs twice in {', '.join(names)}")
        if len(self.seen_bands) != len(names):
            raise ValueError(f"bands: found {len(self.seen_bands)} for {len(names)} band_names")
        if self.scale is None and (self.mean is None or self.std is None):
            raise ValueError(
                "scale: give the sensor's values that are 0 and 255 in the views, such as [0, 3000]"
            )
        require_scale(self.scale, len(names))
        return self

    @property
    def seen_bands(self) -> tuple[int, ...]:
        """The bands of a view that the teacher sees, counted from 1."""
        return self.bands or tuple(range(1, len(self.band_names) + 1))

    @property
    def has_statistics(self) -> bool:
        """True: the mean and std follow from the scale, which is required without them."""
        return True


TIMM = FamilyKind(
    name="timm",
    summary="transformers and CNNs of timm",
    code="rsmtdf_core.teachers.timm_family",
    settings=TimmSettings,
)
OPEN_CLIP = FamilyKind(
    name="open_clip",
    summary="visual transformers of open_clip's CLIP models",
    code="rsmtdf_core.teachers.open_clip_family",
    settings=OpenClipSettings,
)
OLMOEARTH = FamilyKind(
    name="olmoearth",
    summary="OlmoEarth's transformers of the bands of Sentinel-2 and Landsat",
    code="rsmtdf_core.teachers.olmoearth_family",
    settings=OlmoEarthSettings,
)
