"""Write GeoTIFFs from the top downward: tiled, compressed, and complete or absent."""

import errno
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.files import atomic_path, sync_file
from rsmtdf_core.refusals import write_error
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import RasterioDataset

BLOCK = 256  # px, side of a tile
_CACHE = 32  # MiB of blocks that GDAL keeps


@dataclass(frozen=True, slots=True)
class MapLayer:
    """Metadata of a raster of uint8 bands.

    Attributes:
        names: the names of the bands, in order.
        nodata: the nodata value.
        colors: RGB by value, if the only band holds class ids.
        scale: the factor from values to the quantity; 1 for ids.
        tags: further metadata.
    """

    names: Sequence[str]
    nodata: int
    colors: Mapping[int, tuple[int, int, int]] | None = None
    scale: float = 1.0
    tags: Mapping[str, str] | None = None


class BlockWriter:
    """Collects blocks of any size and writes whole rows of tiles, so that no tile is compressed twice.

    Attributes:
        checksums: the crc32 of each row of tiles, by its first row of pixels.
    """

    def __init__(self, dataset: RasterioDataset) -> None:
        self._dataset = dataset
        self.checksums: dict[int, int] = {}
        self._waiting: dict[int, Pixels] = {}  # rows of tiles [bands, BLOCK, width] by their top

    def write(self, top: int, left: int, block: Pixels) -> None:
        """Add a block, uint8 [bands, rows, columns], at `top` and `left`, px.

        Blocks must come from the top downward, and in each row from left to right.
        """
        bands, rows, columns = block.shape
        bottom = top + rows
        for start in range(top // BLOCK * BLOCK, bottom, BLOCK):
            if start not in self._waiting:
                self._waiting[start] = np.empty((bands, BLOCK, self._dataset.width), np.uint8)
            first, last = max(top, start), min(bottom, start + BLOCK)
            part = block[:, first - top : last - top]
            self._waiting[start][:, first - start : last - start, left : left + columns] = part
        if left + columns == self._dataset.width:
            self._flush(bottom)

    def finish(self) -> None:
        """Assert that all blocks were written."""
        assert not self._waiting, "blocks are missing"

    def _flush(self, bottom: int) -> None:
        """Write the rows of tiles that end above `bottom`."""
        height, width = self._dataset.height, self._dataset.width
        for start in list(self._waiting):
            end = min(start + BLOCK, height)
            if end <= bottom:
                tiles = np.ascontiguousarray(self._waiting.pop(start)[:, : end - start])
                self.checksums[start] = zlib.crc32(tiles.data)
                self._dataset.write(tiles, window=((start, end), (0, width)))


@contextmanager
def raster_file(
    path: Path, frame: Frame, layer: MapLayer, *, cog: bool = False
) -> Iterator[BlockWriter]:
    """Yield a writer for a GeoTIFF of uint8 that is moved to `path` if the block ends without an error.

    GDAL reports no error if the disk is full, so the file is read back and compared with the written pixels.

    Args:
        path: the file; its folder is created.
        frame: size, coordinate reference system and transform.
        layer: the metadata of its bands.
        cog: write a Cloud Optimized GeoTIFF, with overviews and a layout for reads over HTTP.

    Raises:
        WriteError: If the file cannot be written, for example because the disk is full.
    """
    import rasterio

    with _refused(path), rasterio.Env(GDAL_CACHEMAX=_CACHE), atomic_path(path) as temporary:
        temporary.touch()  # raises the system's reason, which GDAL hides
        temporary.unlink()
        with _without_georeference():
            with rasterio.open(temporary, "w", **_profile(frame, layer)) as dataset:
                _describe(dataset, layer)
                writer = BlockWriter(dataset)
                yield writer
                writer.finish()
            if cog:
                _make_cog(temporary, averaged=layer.colors is None)
            sync_file(temporary)
            if _checksums(temporary) != writer.checksums:
                raise OSError(errno.EIO, "the file differs from the written pixels", str(temporary))


def is_readable(path: Path) -> bool:
    """Whether every pixel of a GeoTIFF or PNG can be read, including its overviews."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE), _without_georeference():
            return bool(_checksums(path))
    except RasterioError:
        return False


def _checksums(path: Path) -> dict[int, int]:
    """Return the crc32 of each row of tiles, by its first row of pixels; overviews are only read to find damage.

    Raises:
        RasterioError: If a part of the file is missing or damaged.
    """
    import rasterio
    from rasterio.errors import RasterioIOError

    with rasterio.open(path, driver=_driver(path)) as dataset:
        if dataset.driver == "GTiff" and not _has_every_tile(dataset):
            raise RasterioIOError("tiles are missing")
        levels = range(len(dataset.overviews(1)))
    for level in levels:
        for _ in _tile_rows(path, overview_level=level):
            pass
    return {start: zlib.crc32(tiles.data) for start, tiles in _tile_rows(path)}


def _tile_rows(path: Path, **options: int) -> Iterator[tuple[int, Pixels]]:
    import rasterio

    with rasterio.open(path, driver=_driver(path), **options) as dataset:
        for start in range(0, dataset.height, BLOCK):
            end = min(start + BLOCK, dataset.height)
            yield start, dataset.read(window=((start, end), (0, dataset.width)))


def _has_every_tile(dataset: RasterioDataset) -> bool:
    """Whether the file holds every tile; GDAL reads a missing one as nodata, without an error."""
    return all(
        dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band) is not None
        for band in dataset.indexes
        for (row, column), _ in dataset.block_windows(band)
    )


def _driver(path: Path) -> str:
    return "PNG" if path.suffix == ".png" else "GTiff"


@contextmanager
def _without_georeference() -> Iterator[None]:
    """Silence rasterio's warning about files without a georeference."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _profile(frame: Frame, layer: MapLayer) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(layer.names),
        "width": frame.width,
        "height": frame.height,
        **_georeference(frame),
        "nodata": layer.nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "interleave": "band",
        "bigtiff": "if_safer",
    }


def _georeference(frame: Frame) -> dict[str, Any]:
    """Return the transform or the ground control points: a GeoTIFF cannot hold both."""
    georeference: dict[str, Any] = {"crs": frame.crs, "transform": frame.transform}
    if frame.gcps:
        georeference = {"crs": frame.gcps_crs, "gcps": list(frame.gcps)}
    return georeference if frame.rpcs is None else georeference | {"rpcs": frame.rpcs}


def _describe(dataset: RasterioDataset, layer: MapLayer) -> None:
    """Write the metadata of the bands; the color table must precede the first pixels."""
    if layer.colors is not None:
        table = {value: (*color, 255) for value, color in layer.colors.items()}
        dataset.write_colormap(1, table | {layer.nodata: (0, 0, 0, 0)})
    for band, name in enumerate(layer.names, 1):
        dataset.set_band_description(band, name)
    if layer.scale != 1:
        dataset.scales = [layer.scale] * len(layer.names)
    dataset.update_tags(**(layer.tags or {}))


def _make_cog(path: Path, *, averaged: bool) -> None:
    """Rewrite a GeoTIFF in place as a Cloud Optimized one; overviews average quantities and subsample ids."""
    from rasterio.shutil import copy

    resampling = "average" if averaged else "nearest"
    with atomic_path(path) as temporary:
        copy(
            path,
            temporary,
            driver="COG",
            compress="deflate",
            overview_resampling=resampling,
            bigtiff="if_safer",
        )


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn rasterio's write errors into an error that names the file."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:  # `copy` raises GDAL's errors directly
        # GDAL hides the system's reason.
        reason = OSError(errno.EIO, str(error.__cause__ or error))
        raise write_error(reason, path) from error
