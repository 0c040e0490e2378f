"""One way to open an image: `open_image` gives an `ImageFile`, whatever the format, for every stage."""

from rsmtdf_core.scenes.images.decoder import Valid, Values
from rsmtdf_core.scenes.images.file import ImageFile, open_image
from rsmtdf_core.scenes.images.formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    RASTER_SUFFIXES,
    ImageFormat,
    identify,
)
from rsmtdf_core.scenes.images.frame import Frame, apart
from rsmtdf_core.scenes.images.orientation import Orientation, Region

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "RASTER_SUFFIXES",
    "Frame",
    "ImageFile",
    "ImageFormat",
    "Orientation",
    "Region",
    "Valid",
    "Values",
    "apart",
    "identify",
    "open_image",
]
