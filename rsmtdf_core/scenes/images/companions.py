"""Files beside an image that decide its pixels, or where it has none: GDAL reads them with it."""

from pathlib import Path

from rsmtdf_core.scenes.images.formats import VRT, identify
from rsmtdf_core.scenes.images.vrt import vrt_sources

# GDAL's external mask and its metadata, which may name a nodata value.
_SUFFIXES = (".msk", ".aux.xml")


def companions(path: Path) -> list[Path]:
    """The sources of a VRT, and the masks, metadata and spilled pixels beside an image or its sources.

    Raises:
        MissingFileError, DataError: the file is missing or no image, or a source of a VRT is.
    """
    sources = vrt_sources(path) if identify(path) is VRT else []
    beside = [
        candidate
        for file in (path, *sources)
        for candidate in (
            *(file.with_name(file.name + suffix) for suffix in _SUFFIXES),
            file.with_suffix(".ige"),  # pixels of an .img above 2 GiB
        )
        if candidate.is_file()
    ]
    return [*sources, *beside]
