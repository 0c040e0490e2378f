"""Settings of `rsmtdf predict`."""

from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.settings import Settings


class PredictSettings(Settings):
    """Selects the outputs that are written for each input in addition to its map of class ids.

    Attributes:
        probabilities: write a raster with one band per class.
        confidence: write a raster of the largest probability.
        disagreement: write a raster of how much the runs of an ensemble disagree.
        uncalibrated: do not apply the run's temperature to probabilities and confidences.
        polygons: write GeoJSON polygons of connected areas of one class, in longitude and latitude.
        cog: write Cloud Optimized GeoTIFFs.
        overwrite: recompute existing files.
        bands: bands to read; None reads those of the run's manifest.
    """

    probabilities: bool = False
    confidence: bool = False
    disagreement: bool = False
    uncalibrated: bool = False
    polygons: bool = False
    cog: bool = False
    overwrite: bool = False
    bands: BandSettings | None = None
