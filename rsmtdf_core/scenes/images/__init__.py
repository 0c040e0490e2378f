"""Open images of every supported format in one way: `open_image` yields an `ImageFile`."""

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
