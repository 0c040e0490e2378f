"""GDAL's virtual rasters: XML that names other files, so it is read before GDAL may open it.

Only mosaics and band selections of local files of the formats that are read pass. Addresses on the network, inline
datasets, pixel functions and warps are refused with the command that turns the VRT into a GeoTIFF.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.formats import VRT, identify

_MOST_BYTES = 64 * 2**20
_MOST_DEPTH = 4  # VRTs of VRTs
# GDAL's parser takes names in any case, and attributes for elements.
_SOURCES = frozenset({"sourcefilename", "sourcedataset"})
# What computes pixels rather than copies them, or reads bytes that are no image.
_COMPUTED = frozenset(
    {
        "arraysource",
        "gdalwarpoptions",
        "group",
        "input",
        "openoptions",
        "pansharpeningoptions",
        "pixelfunctioncode",
        "pixelfunctiontype",
        "processingsteps",
    }
)
_SUBCLASS = "vrtsourcedrasterband"


def require_local_sources(path: Path) -> None:
    """See that a VRT and those that it names refer to local image files alone.

    Raises:
        MissingFileError, DataError: a source is missing, is not local, is no image, or is computed.
    """
    vrt_sources(path)


def vrt_sources(path: Path) -> list[Path]:
    """All files that a VRT takes pixels from, in the order of their first mention, VRTs among them included.

    Raises:
        MissingFileError, DataError: as for `require_local_sources`.
    """
    return list(dict.fromkeys(_sources(path, _MOST_DEPTH)))


def _sources(path: Path, depth: int) -> Iterator[Path]:
    for source in dict.fromkeys(_named(path)):
        if not source.is_file():
            raise MissingFileError(
                f"the VRT {path} names this file, which is missing",
                where=source,
                remedy="restore the file, or make the VRT anew with gdalbuildvrt",
            )
        yield source
        if identify(source) is VRT:
            if depth == 0:
                raise _refused(path, "VRTs name each other")
            yield from _sources(source, depth - 1)


def _named(path: Path) -> Iterator[Path]:
    for element in _elements(path):
        tag = element.tag.rpartition("}")[2].lower()
        attributes = {name.rpartition("}")[2].lower(): text for name, text in element.items()}
        names = {tag, *attributes}
        if names & _COMPUTED or attributes.get("subclass", _SUBCLASS).lower() != _SUBCLASS:
            raise _refused(path, "its pixels are computed, not copied")
        if (_SOURCES & attributes.keys()) or (tag in _SOURCES and len(element)):
            raise _refused(path, "a source is named in an unusual way")
        if tag not in _SOURCES:
            continue
        name = (element.text or "").strip()
        if name.startswith(("/vsi", "<")) or "://" in name or _names_a_driver(name):
            raise _refused(path, f"its source is no local file: {name[:100]}")
        relative = attributes.get("relativetovrt") == "1"
        yield path.parent / name if relative else Path(name)


def _names_a_driver(name: str) -> bool:
    """Whether a source is a driver's connection string, such as NETCDF:file.nc:variable."""
    head, separator, _ = name.partition(":")
    return bool(separator) and "/" not in head


def _elements(path: Path) -> Iterator[ET.Element]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _refused(path, "it is larger than 64 MiB")
        text = path.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise _refused(path, "it declares entities")
        return ET.fromstring(text).iter()  # noqa: S314 - without entities nothing expands
    except (OSError, ET.ParseError) as error:
        raise DataError(
            f"the VRT cannot be read: {error}",
            where=path,
            remedy="make it anew with gdalbuildvrt",
        ) from None


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"the VRT is not read: {why}",
        where=path,
        remedy=f"gdal_translate {path.name} {path.stem}.tif, and use that file",
    )
