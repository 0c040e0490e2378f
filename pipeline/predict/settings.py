"""What `rsmtdf predict` writes."""

from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.settings import Settings


class PredictSettings(Settings):
    """What is written for each input beside its map of class ids.

    Attributes:
        probabilities: a raster with one band a class.
        confidence: a raster with the largest probability.
        polygons: GeoJSON of connected areas of one class, in longitude and latitude.
        cog: rasters are Cloud Optimized GeoTIFFs.
        overwrite: what is there already is computed anew.
        bands: which bands are read, where not those of the run's manifest.
    """

    probabilities: bool = False
    confidence: bool = False
    polygons: bool = False
    cog: bool = False
    overwrite: bool = False
    bands: BandSettings | None = None
