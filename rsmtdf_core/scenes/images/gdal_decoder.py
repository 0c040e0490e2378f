"""Decode rasters with GDAL: all TIFFs, 16-bit PNGs, VRTs, ERDAS Imagine and JPEG 2000 (tests: test_matrix.py).

Only the driver of the identified format may open a file, which excludes drivers that use the network or run code (see
`vrt`). Rasters at addresses are read by ranges; they must be GeoTIFFs or JPEG 2000.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.decoder import Header, Valid, Values
from rsmtdf_core.scenes.images.formats import JP2, TIFF, VRT, ImageFormat
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.orientation import Orientation, Region
from rsmtdf_core.scenes.images.quiet import quiet_decoders
from rsmtdf_core.scenes.images.source import File, RemoteFile
from rsmtdf_core.scenes.images.tags import tiff_orientation
from rsmtdf_core.scenes.images.vrt import require_local_sources

RasterioDataset = Any  # rasterio has no types

_OPTIONS = {
    # MiB of decoded blocks in GDAL's cache; the default is a share of the machine's memory.
    "GDAL_CACHEMAX": 64,
    # Uncompressed TIFFs are read directly, without a copy in GDAL's cache.
    "GTIFF_DIRECT_IO": "YES",
    # A VRT may contain Python code as a pixel function, and network addresses.
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{noext}",
}
_REMOTE_OPTIONS = {
    **_OPTIONS,
    # No list of the folder, and no look for files next to the raster.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 1,
}


class GdalDecoder:
    """An open raster; see `Decoder`.

    Attributes:
        path: its file.
        dataset: rasterio's dataset.
        header: the metadata of its pixels.
    """

    def __init__(self, path: File, dataset: RasterioDataset, orientation: Orientation) -> None:
        self.path = path
        self.dataset = dataset
        with gdal_errors(path):
            self.header = _header(dataset, orientation)

    def read(self, bands: tuple[int, ...], part: Region) -> Values:
        """Read stored values of a part, [h, w, C]."""
        dtype = np.result_type(*(self.header.dtypes[band - 1] for band in bands))
        _, _, height, width = part
        values = np.empty((height, width, len(bands)), dtype)
        with gdal_errors(self.path):
            self.dataset.read(list(bands), window=_window(part), out=np.moveaxis(values, 2, 0))
        return values

    def valid(self, bands: tuple[int, ...], part: Region) -> Valid:
        """Read where each band has data by its nodata value, the internal mask or alpha, bool [h, w, C]."""
        with gdal_errors(self.path):  # rasterio returns masks only as [C, h, w]
            mask = self.dataset.read_masks(list(bands), window=_window(part))
            valid: Valid = np.moveaxis(mask > 0, 0, 2)
            alpha = _plain_alpha(self.header.interpretation, self.dataset)
            if alpha is not None:
                opaque = self.dataset.read(alpha, window=_window(part)) > 0
                valid &= opaque[..., None] | (np.array(bands) == alpha)
        return valid


@contextmanager
def open_with_gdal(
    path: Path, form: ImageFormat, orientation: Orientation | None = None
) -> Iterator[GdalDecoder]:
    """Open a raster; no pixel is decoded yet.

    Raises:
        MissingFileError, DataError: If the file is damaged, or a VRT refers to missing or unsupported files.
    """
    if form is VRT:
        require_local_sources(path)
    if orientation is None:
        orientation = tiff_orientation(path) if form is TIFF else Orientation()
    with open_dataset(path, form) as dataset:
        decoder = GdalDecoder(path, dataset, orientation)
        if orientation.tag != 1 and decoder.header.frame.georeferenced:
            raise DataError(
                f"the file has both a georeference and orientation {orientation.tag}, "
                "so its upper left pixel is ambiguous",
                where=path,
                remedy=f"gdal_translate {path.name} upright.tif keeps the pixels as GIS programs show them",
            )
        yield decoder


def remote_format(file: RemoteFile) -> ImageFormat:
    """Return the format of a raster at an address: JPEG 2000 by its name, else GeoTIFF."""
    return JP2 if file.suffix.lower() in JP2.suffixes else TIFF


@contextmanager
def open_remote(file: RemoteFile) -> Iterator[GdalDecoder]:
    """Open a raster at an address; only its header is read yet.

    Raises:
        DataError: If it cannot be read, is not a GeoTIFF or JPEG 2000, or has no georeference.
    """
    import rasterio

    quiet_decoders()
    path = file.gdal_path
    with rasterio.Env(**_REMOTE_OPTIONS, CPL_VSIL_CURL_ALLOWED_FILENAME=path):
        with gdal_errors(file):
            dataset = rasterio.open(path, driver=remote_format(file).driver)
        with dataset:
            decoder = GdalDecoder(file, dataset, Orientation())
            if not decoder.header.frame.georeferenced:
                # GDAL does not tell how such an image is turned.
                raise DataError(
                    "a raster at an address needs a georeference",
                    where=file,
                    remedy="download it, and name the local file",
                )
            yield decoder


@contextmanager
def open_dataset(path: Path, form: ImageFormat = TIFF) -> Iterator[RasterioDataset]:
    """Open a file as rasterio's dataset.

    Raises:
        DataError: If the file is damaged, has another format, or has a name that is not UTF-8.
    """
    import rasterio

    quiet_decoders()
    with rasterio.Env(**_OPTIONS):
        try:
            with gdal_errors(path):
                dataset = rasterio.open(path, driver=form.driver)
        except UnicodeEncodeError:
            raise DataError(
                "the name of this raster is not UTF-8, as GDAL requires",
                where=path,
                remedy="rename the files; run in their folder: convmv -f latin1 -t utf8 -r --notest .",
            ) from None
        with dataset:
            yield dataset


@contextmanager
def gdal_errors(path: File) -> Iterator[None]:
    """Turn rasterio's errors into an error that names the file."""
    from rasterio._err import CPLE_BaseError  # rasterio passes some of GDAL's errors on unchanged
    from rasterio.errors import RasterioError

    try:
        yield
    except DataError:
        raise
    except (RasterioError, CPLE_BaseError, OSError) as error:
        cause = error.__cause__ or error
        raise DataError(
            f"the raster cannot be read: {cause}",
            where=path,
            remedy="download or export the file again"
            if isinstance(path, Path)
            else "check the address and the connection; s3:// needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_NO_SIGN_REQUEST=YES for public buckets",
        ) from None


def _window(part: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    top, left, height, width = part
    return (top, top + height), (left, left + width)


def _header(dataset: RasterioDataset, orientation: Orientation) -> Header:
    gcps, gcps_crs = dataset.gcps
    interpretation = tuple(band.name for band in dataset.colorinterp)
    dtypes = tuple(np.dtype(_numpy_name(name)) for name in dataset.dtypes)
    return Header(
        frame=Frame(
            dataset.width,
            dataset.height,
            dataset.crs,
            dataset.transform,
            tuple(gcps),
            gcps_crs,
            dataset.rpcs,
        ),
        dtypes=dtypes,
        bits=tuple(
            int(dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8 * dtype.itemsize))
            for band, dtype in enumerate(dtypes, 1)
        ),
        interpretation=interpretation,
        nodata=tuple(dataset.nodatavals),
        masked=_masked(interpretation, dataset),
        palette=_palette(dataset) if interpretation == ("palette",) else None,
        white_is_zero=dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
        orientation=orientation,
        by_parts=all(width < dataset.width for _, width in dataset.block_shapes),
        by_rows=dataset.driver == TIFF.driver
        and all(height < dataset.height for height, _ in dataset.block_shapes),
    )


def _masked(interpretation: tuple[str, ...], dataset: RasterioDataset) -> tuple[bool, ...]:
    alpha = _plain_alpha(interpretation, dataset)
    return tuple(
        any(flag.name != "all_valid" for flag in flags) or alpha not in {None, band}
        for band, flags in enumerate(dataset.mask_flag_enums, 1)
    )


def _plain_alpha(interpretation: tuple[str, ...], dataset: RasterioDataset) -> int | None:
    """Return the alpha band if GDAL makes no mask of it; GDAL only does so for uint8 and uint16."""
    if "alpha" not in interpretation:
        return None
    band = interpretation.index("alpha") + 1
    if dataset.dtypes[band - 1] in {"uint8", "uint16"}:
        return None
    return band if all(value is None for value in dataset.nodatavals) else None


def _numpy_name(name: str) -> str:
    return "complex64" if name.startswith("complex_int") else name


def _palette(dataset: RasterioDataset) -> npt.NDArray[np.uint8]:
    """RGBA of each index, uint8 [256, 4]; black for indices without a color."""
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    for value, color in dataset.colormap(1).items():
        if value < len(table):
            table[value] = color
    return table
