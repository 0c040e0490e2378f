"""Settings of `rsmtdf predict` (tests: test_places.py)."""

from typing import Annotated

from pydantic import AfterValidator, Field

from rsmtdf_core.maps.polygons import Generalization
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.patterns import pattern_fields
from rsmtdf_core.settings import Settings


def _checked(pattern: str) -> str:
    pattern_fields(pattern, required=False)
    return pattern


FilePattern = Annotated[str, AfterValidator(_checked)]
Amount = Annotated[float, Field(ge=0, le=1e12)]


class PredictSettings(Settings):
    """Selects the outputs that are written for each input in addition to its map of class ids.

    Attributes:
        probabilities: write a raster with one band per class.
        confidence: write a raster of the largest probability.
        disagreement: write a raster of how much the runs of an ensemble disagree.
        uncalibrated: do not apply the run's temperature to probabilities and confidences.
        polygons: write GeoJSON polygons of connected areas of one class, in longitude and latitude.
        geopackage: write the polygons as a GeoPackage, with their areas and the mean of their confidence, and the
            confidence layer.
        min_area: smallest area of a polygon, m2; smaller areas take the class of their largest neighbor.
        simplify: size of the corners to remove from polygons, m; shared borders stay shared.
        stac: write a STAC item of the map, with the model in the fields of the extension MLM.
        cog: write Cloud Optimized GeoTIFFs.
        overwrite: recompute existing files.
        bands: bands to read; None reads those of the run's manifest.
        images: path patterns of the files of a scene in input folders; empty takes those of the run's manifest, if it
            has several.
        assets: assets of the items in STAC documents, by key or "role=" and a role; several are stacked. Empty takes
            those of the run's manifest, or else guesses them.
    """

    probabilities: bool = False
    confidence: bool = False
    disagreement: bool = False
    uncalibrated: bool = False
    polygons: bool = False
    geopackage: bool = False
    min_area: Amount = 0.0
    simplify: Amount = 0.0
    stac: bool = False
    cog: bool = False
    overwrite: bool = False
    bands: BandSettings | None = None
    images: tuple[FilePattern, ...] = ()
    assets: tuple[str, ...] = ()

    @property
    def generalization(self) -> Generalization:
        """How much detail polygons show."""
        return Generalization(self.min_area, self.simplify)

    @property
    def soft(self) -> bool:
        """Whether an output has probabilities or confidences, which depend on the run's temperature."""
        return self.probabilities or self.confidence or self.geopackage

    @property
    def places(self) -> bool:
        """Whether an output needs longitude and latitude."""
        return self.polygons or self.geopackage or self.stac
