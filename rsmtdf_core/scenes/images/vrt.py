"""Check GDAL's virtual rasters (VRT), XML files that refer to other files, before GDAL opens them.

Only mosaics and band selections of local files of supported formats are accepted. Network addresses, inline datasets,
pixel functions and warps are refused with the command that converts the VRT to a GeoTIFF.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.formats import VRT, identify

_MOST_BYTES = 64 * 2**20
_MOST_DEPTH = 4  # VRTs of VRTs
# GDAL's parser ignores the case of names, and accepts attributes in place of elements.
_SOURCES = frozenset({"sourcefilename", "sourcedataset"})
# Elements that compute pixels instead of copying them, or read bytes that are not an image.
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
    """Refuse a VRT that refers to anything but local image files, directly or through other VRTs.

    Raises:
        MissingFileError, DataError: If a source is missing, not local, not an image, or computed.
    """
    vrt_sources(path)


def vrt_sources(path: Path) -> list[Path]:
    """Return all source files of a VRT, including nested VRTs, in the order of their first mention.

    Raises:
        MissingFileError, DataError: As for `require_local_sources`.
    """
    return list(dict.fromkeys(_sources(path, _MOST_DEPTH)))


def _sources(path: Path, depth: int) -> Iterator[Path]:
    for source in dict.fromkeys(_named(path)):
        if not source.is_file():
            raise MissingFileError(
                f"this source file of the VRT {path} is missing",
                where=source,
                remedy="restore the file, or build the VRT again with gdalbuildvrt",
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
            raise _refused(path, f"its source is not a local file: {name[:100]}")
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
            remedy="build it again with gdalbuildvrt",
        ) from None


def _refused(path: Path, why: str) -> DataError:
    return DataError(
        f"the VRT is not read: {why}",
        where=path,
        remedy=f"gdal_translate {path.name} {path.stem}.tif, and use that file",
    )
