"""Files next to an image that GDAL reads with it, because they affect its pixels or nodata."""

from pathlib import Path

from rsmtdf_core.scenes.images.formats import VRT, identify
from rsmtdf_core.scenes.images.vrt import vrt_sources

# GDAL's external mask and its metadata, which may name a nodata value.
_SUFFIXES = (".msk", ".aux.xml")


def companions(path: Path) -> list[Path]:
    """Return the sources of a VRT, and the masks, metadata and pixel files next to an image or its sources.

    Raises:
        MissingFileError, DataError: If the file or a source of a VRT is missing or not an image.
    """
    sources = vrt_sources(path) if identify(path) is VRT else []
    adjacent = [
        candidate
        for file in (path, *sources)
        for candidate in (
            *(file.with_name(file.name + suffix) for suffix in _SUFFIXES),
            file.with_suffix(".ige"),  # pixels of an .img above 2 GiB
        )
        if candidate.is_file()
    ]
    return [*sources, *adjacent]
