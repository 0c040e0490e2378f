"""Read the features of GeoPackage, Shapefile and GeoJSON files.

Content decides the format. No other of GDAL's many formats is opened, as some run queries or read from the network.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.frame import Crs
from rsmtdf_core.scenes.images.quiet import quiet_decoders
from rsmtdf_core.scenes.shapes.features import (
    Geometries,
    Layer,
    Note,
    clean,
    digest_of,
    require_geo,
)
from rsmtdf_core.words import counted

VECTOR_SUFFIXES = (".gpkg", ".shp", ".geojson", ".json")
"""The suffixes of file names that may hold features."""

_SHAPEFILE = b"\x00\x00\x27\x0a"
_SQLITE = b"SQLite format 3\x00"
_BESIDE_SHAPES = (".dbf", ".prj", ".shx", ".cpg")

Stamp = tuple[tuple[str, int, int], ...]
"""Name, time of change in ns and bytes of each file."""


def read_layer(
    path: Path, layer: str | None, field: str | None, crs: str | None, without: str | None = None
) -> Layer:
    """Read the features of a layer, or of a layer in each file of a folder.

    Args:
        path: the file, or a folder of them.
        layer: the name of the layer; None for the only one.
        field: the attribute with the classes; None if there is none.
        crs: the coordinate reference system; None for that of the file.
        without: a layer that does not count as the only one.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If it is of another format or damaged, lacks the layer, the field or a CRS, or has coordinates that
            its CRS cannot have.
    """
    require_geo(path, "shapely", "pyogrio")
    quiet_decoders()
    layers = [_read(file, layer, field, crs, without) for file in vector_files(path)]
    return layers[0] if len(layers) == 1 else _joined(layers, path)


def vector_files(path: Path) -> list[Path]:
    """Return the path of a file, or the vector files of a folder, sorted.

    Raises:
        MissingFileError: If there is none.
    """
    files = [path]
    if path.is_dir():
        files = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in VECTOR_SUFFIXES and not file.name.startswith(".")
        )
    if not files or not files[0].is_file():
        raise MissingFileError(
            "the labels are missing",
            where=path,
            remedy="restore the file, or correct `masks` in the manifest",
        )
    return files


def layer_names(path: Path) -> list[str]:
    """Return the names of a file's layers with geometries.

    Raises:
        MissingFileError, DataError: If the file is missing, damaged or of another format.
    """
    require_geo(path, "shapely", "pyogrio")
    import pyogrio

    _require_format(path)
    try:
        return [name for name, kind in pyogrio.list_layers(path).tolist() if kind is not None]
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from None


def field_names(path: Path, layer: str | None) -> list[str]:
    """Return the names of the attributes of a layer.

    Raises:
        DataError: If the file is damaged or has no such layer.
    """
    import pyogrio

    try:
        return list(map(str, pyogrio.read_info(path, layer=layer)["fields"]))
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from None


def only_layer(path: Path, layer: str | None, without: str | None = None) -> str:
    """Return the name of the requested or only layer.

    Raises:
        DataError: If there is none, or more than one and none is requested.
    """
    names = layer_names(path)
    if layer is not None and layer not in names:
        raise DataError(
            f"the file has no layer '{layer}', its layers with geometries are {', '.join(names) or 'none'}",
            where=path,
            remedy="correct `layer` under mask_encoding in the manifest",
        )
    candidates = [name for name in names if name != without] if layer is None else [layer]
    if len(candidates) != 1:
        raise DataError(
            f"expected one layer with geometries, found {', '.join(candidates) or 'none'}",
            where=path,
            remedy="name it under mask_encoding.layer in the manifest",
        )
    return candidates[0]


def stamp(path: Path) -> Stamp:
    """Return names, times and sizes of the files of labels and those that belong to them, such as a.dbf and a.prj.

    Raises:
        MissingFileError: If the file is missing.
    """
    files = (
        candidate
        for file in vector_files(path)
        for candidate in (
            file,
            *map(file.with_suffix, _BESIDE_SHAPES if file.suffix.lower() == ".shp" else ()),
            file.with_name(
                f"{file.name}-wal"
            ),  # changes of a GeoPackage that is still open in QGIS
        )
    )
    stats = ((file.name, file.stat()) for file in files if file.is_file())
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _read(
    path: Path, layer: str | None, field: str | None, crs: str | None, without: str | None
) -> Layer:
    import shapely
    from pyogrio.raw import read

    name = only_layer(path, layer, without)
    fields = field_names(path, name)
    if field is not None and field not in fields:
        raise DataError(
            f"the features have no field '{field}', their fields are {', '.join(fields) or 'none'}",
            where=path,
            remedy="correct `field` under mask_encoding in the manifest",
        )
    columns = [] if field is None else [field]
    try:
        meta, fids, wkb, data = read(
            path, layer=name, columns=columns, force_2d=True, return_fids=True
        )
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from None
    raw = data[0].tolist() if data else [""] * len(fids)
    geometries = shapely.from_wkb(wkb, on_invalid="fix")
    values = [_text(value) for value in raw]
    parts, values_of_parts, notes = clean(geometries, values, [f"feature {fid}" for fid in fids])
    reference = _crs(meta["crs"] if crs is None else crs, path)
    _require_degrees(parts, reference, path)
    digest = digest_of(parts, values_of_parts.tolist(), reference.to_wkt())
    return Layer(parts, values_of_parts, reference, digest, notes)


def _text(value: object) -> str:
    """Return an attribute's value as text; "" without a value."""
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole and isinstance(value, float) else str(value)


def _joined(layers: list[Layer], folder: Path) -> Layer:
    """Return the features of several files, which must share a CRS."""
    first = layers[0]
    if any(layer.crs != first.crs for layer in layers):
        kinds = sorted({str(layer.crs) for layer in layers})
        raise DataError(
            f"the files of this folder have different coordinate reference systems: {', '.join(kinds)}",
            where=folder,
            remedy="export all of them in one, such as that of the images",
        )
    return Layer(
        np.concatenate([layer.geometries for layer in layers]),
        np.concatenate([layer.values for layer in layers]),
        first.crs,
        hashlib.sha256("".join(layer.digest for layer in layers).encode()).hexdigest(),
        tuple(note for layer in layers for note in layer.notes),
    )


def _crs(text: str | None, path: Path) -> Crs:
    from rasterio.crs import CRS
    from rasterio.errors import RasterioError

    if not text:
        raise DataError(
            "the labels have no coordinate reference system (CRS)",
            where=path,
            remedy="name it under mask_encoding.crs in the manifest, such as crs: EPSG:32640, or add the .prj file",
        )
    try:
        return CRS.from_user_input(text)
    except (RasterioError, ValueError):
        raise DataError(
            f"'{text[:80]}' is no coordinate reference system",
            where=path,
            remedy="name one under mask_encoding.crs in the manifest, such as crs: EPSG:32640",
        ) from None


def _require_degrees(geometries: Geometries, crs: Crs, path: Path) -> None:
    """Refuse coordinates beyond the globe, mostly meters in a GeoJSON file that does not name its CRS."""
    import shapely

    if not len(geometries) or not crs.is_geographic:
        return
    bounds: npt.NDArray[np.float64] = np.abs(shapely.total_bounds(geometries))
    if max(bounds[0], bounds[2]) > 360 or max(bounds[1], bounds[3]) > 90:
        raise DataError(
            f"coordinates up to {bounds.max():,.0f} are no degrees of {crs}, the CRS of the labels",
            where=path,
            remedy="name their CRS under mask_encoding.crs in the manifest, such as crs: EPSG:32640",
        )


def _require_format(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(100)
    except FileNotFoundError:
        raise MissingFileError(
            "the labels are missing", where=path, remedy="restore the file, or correct the path"
        ) from None
    except OSError as error:
        raise DataError(f"the labels cannot be read: {error.strerror}", where=path) from None
    json = start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    package = start.startswith(_SQLITE) and start[68:72] in (b"GPKG", b"GP10", b"GP11")
    if not (json or package or start.startswith(_SHAPEFILE)):
        raise DataError(
            "the labels are no GeoPackage, Shapefile (.shp) or GeoJSON file",
            where=path,
            remedy=f"ogr2ogr {path.stem}.gpkg {path.name}, and use that file",
        )


def _unreadable(path: Path, error: Exception) -> DataError:
    why = str(error).partition("; It might help")[0].replace(str(path), path.name)
    return DataError(
        f"the labels cannot be read: {why}",
        where=path,
        remedy="export them again, for example as GeoPackage from QGIS",
    )


def described(layer: Layer) -> Iterator[Note]:
    """Yield a note on the types of a layer's geometries, if there are several, and its notes."""
    import shapely

    kinds = shapely.get_dimensions(layer.geometries)
    counts = [
        counted(int((kinds == dimension).sum()), word)
        for dimension, word in ((2, "polygon"), (1, "line"), (0, "point"))
        if (kinds == dimension).any()
    ]
    if len(counts) > 1:
        yield Note(f"mixed geometries: {', '.join(counts)}")
    yield from layer.notes
