"""One way to open an image: `open_image` gives an `ImageFile`, whatever the format, for every stage."""

from rsmtdf_core.scenes.images.decoder import Valid, Values
from rsmtdf_core.scenes.images.file import ImageFile, open_image
from rsmtdf_core.scenes.images.formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    RASTER_SUFFIXES,
    Format,
    identify,
)
from rsmtdf_core.scenes.images.frame import Frame, apart
from rsmtdf_core.scenes.images.orientation import Orientation, Part

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "RASTER_SUFFIXES",
    "Format",
    "Frame",
    "ImageFile",
    "Orientation",
    "Part",
    "Valid",
    "Values",
    "apart",
    "identify",
    "open_image",
]
