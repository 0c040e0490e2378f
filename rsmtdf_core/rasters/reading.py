"""Windows of a GeoTIFF as uint8, with where they have data; the whole is never read at once."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import ConfigError, DataError, MissingFileError
from rsmtdf_core.rasters.bands import BandSettings, middle_range, scaled

Pixels = npt.NDArray[np.uint8]
Valid = npt.NDArray[np.bool_]
RasterioDataset = Any  # rasterio has no types

# GeoTIFF else: left to itself GDAL would follow files that name others, or addresses on the network.
_DRIVERS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
# MiB of decoded blocks that GDAL keeps; by its own choice it would take a share of the machine's memory.
_CACHE = 64
_ROWS = 128  # that are scaled at a time, as scaling takes several times the memory of its result
_SAMPLE = 1024  # px, side of the part whose values an error proposes as a scale


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a raster lies: its size in px, its coordinate reference system and its affine transform.

    The latter two are rasterio's; `crs` is None where the file has none.
    """

    width: int
    height: int
    crs: Any
    transform: Any


class Raster:
    """An open raster whose bands were chosen; made by `open_raster`, for one thread."""

    def __init__(self, path: Path, dataset: RasterioDataset, bands: BandSettings) -> None:
        self._path = path
        self._dataset = dataset
        self._bands = bands
        self.frame = Frame(dataset.width, dataset.height, dataset.crs, dataset.transform)

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Valid]:
        """A window as uint8 [height, width, C], RGB first, and where it has data, bool [height, width].

        A pixel has no data where the file's nodata value, mask or alpha says so in all chosen bands,
        or where one of them is not a finite number; it is black.

        Raises:
            DataError: the window reaches over the raster, or the file is damaged there.
        """
        if top + height > self.frame.height or left + width > self.frame.width:
            raise DataError(
                f"a window reaches over the raster's {self.frame.width} x {self.frame.height} px",
                where=self._path,
                remedy="the file changed since its scenes were found: run the command again",
            )
        count = len(self._bands.indices)
        pixels, valid = np.empty((height, width, count), np.uint8), np.empty((height, width), bool)
        for start in range(0, height, _ROWS):
            part = slice(start, min(start + _ROWS, height))
            window = ((top + part.start, top + part.stop), (left, left + width))
            pixels[part], valid[part] = self._read_window(window)
        return pixels, valid

    def _read_window(self, window: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Pixels, Valid]:
        values, valid = _read_values(self._path, self._dataset, self._bands, window)
        return scaled(values, self._bands, valid), valid


def _read_values(
    path: Path,
    dataset: RasterioDataset,
    bands: BandSettings,
    window: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[npt.NDArray[np.generic], Valid]:
    """The chosen bands as they are in the file, [C, H, W], and where they have data, bool [H, W]."""
    indices = list(bands.indices)
    with told_reading(path):
        values: npt.NDArray[np.generic] = dataset.read(indices, window=window)
        if _valid_everywhere(dataset, indices):  # saves decoding the bands again
            valid: Valid = np.ones(values.shape[1:], bool)
        else:
            valid = dataset.read_masks(indices, window=window).any(axis=0)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    return values, valid


def _valid_everywhere(dataset: RasterioDataset, indices: list[int]) -> bool:
    flags = dataset.mask_flag_enums
    return any(flag.name == "all_valid" for index in indices for flag in flags[index - 1])


@contextmanager
def open_raster(path: Path, bands: BandSettings | None = None) -> Iterator[Raster]:
    """Open a GeoTIFF (or PNG or JPEG) for reading.

    Args:
        path: the file.
        bands: which of its bands are read; by default the first three of 8 bits, or a single one thrice.

    Raises:
        MissingFileError, DataError: the file is missing, no raster, cut off, or has not the bands
            that are to be read, or more than 8 bits a band while no scale is given.
        ConfigError: rasterio is not installed.
    """
    with open_dataset(path) as dataset:
        chosen = bands or _first_bands(path, dataset.count)
        _require_bands(path, dataset, chosen)
        if chosen.scale is None:
            _require_eight_bits(path, dataset, chosen)
        yield Raster(path, dataset, chosen)


@contextmanager
def open_dataset(path: Path) -> Iterator[RasterioDataset]:
    """Rasterio's own dataset of a file, with every failure to open it told as `open_raster` tells it."""
    rasterio = import_rasterio(path)
    if not path.is_file():
        raise MissingFileError("the file is missing", where=path)
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with told_reading(path):
            dataset = rasterio.open(path, driver=_DRIVERS.get(path.suffix.lower(), "GTiff"))
        with dataset:
            yield dataset


def import_rasterio(path: Path) -> ModuleType:
    """Rasterio, which `path` needs.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import rasterio
        import rasterio.errors
    except ImportError:
        raise ConfigError(
            "this needs rasterio, which is not installed",
            where=path,
            remedy="pip install 'rsmtdf[geo]'",
        ) from None
    module: ModuleType = rasterio
    return module


def _first_bands(path: Path, count: int) -> BandSettings:
    if count == 1:
        return BandSettings(indices=(1, 1, 1))
    if count == 2:
        raise DataError(
            "expected one band, or three at least, found 2",
            where=path,
            remedy="choose three with `bands: {indices: [1, 2, 2]}` in the manifest",
        )
    return BandSettings()


def _require_bands(path: Path, dataset: RasterioDataset, bands: BandSettings) -> None:
    if max(bands.indices) > dataset.count:
        raise DataError(
            f"expected band {max(bands.indices)}, found {dataset.count} bands",
            where=path,
            remedy=f"name bands from 1 to {dataset.count} under `bands.indices` in the manifest",
        )
    kinds = {dataset.dtypes[index - 1] for index in bands.indices}
    if any(kind.startswith("complex") for kind in kinds):
        raise DataError(
            "the bands hold complex numbers", where=path, remedy="convert them to magnitudes"
        )
    if any(dataset.colorinterp[index - 1].name == "palette" for index in bands.indices):
        raise DataError(
            "the band holds indices into a palette, not brightness",
            where=path,
            remedy=f"gdal_translate -expand rgb {path.name} expanded.tif",
        )


def _require_eight_bits(path: Path, dataset: RasterioDataset, bands: BandSettings) -> None:
    kinds = sorted({dataset.dtypes[index - 1] for index in bands.indices})
    if kinds == ["uint8"]:
        return
    found = map(middle_range, middle_values(path, dataset, bands))
    ranges = ", ".join(f"[{low:g}, {high:g}]" for low, high in found)
    raise DataError(
        f"expected bands of 8 bits, found {', '.join(kinds)} and no scale",
        where=path,
        remedy="say in the manifest what becomes black and white, for example "
        f"`bands: {{indices: {list(bands.indices)}, scale: [{ranges}]}}` "
        "(the 2nd and 98th percentiles in the middle of this file); `rsmtdf predict` takes --bands and --scale, too",
    )


def middle_values(
    path: Path, dataset: RasterioDataset, bands: BandSettings
) -> list[npt.NDArray[np.generic]]:
    """For each of the bands the values [N] in the middle of a raster, those without data left out.

    Raises:
        DataError: the file is damaged there.
    """
    sides = min(_SAMPLE, dataset.height), min(_SAMPLE, dataset.width)
    top, left = (dataset.height - sides[0]) // 2, (dataset.width - sides[1]) // 2
    window = ((top, top + sides[0]), (left, left + sides[1]))
    values, valid = _read_values(path, dataset, bands, window)
    return [band[valid] for band in values]


@contextmanager
def told_reading(path: Path) -> Iterator[None]:
    """Tell what rasterio cannot read as an error that names the file."""
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, OSError) as error:
        cause = error.__cause__ or error
        raise DataError(
            f"the raster cannot be read: {cause}",
            where=path,
            remedy="fetch or export the file again",
        ) from None
