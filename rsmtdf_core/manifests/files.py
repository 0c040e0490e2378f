"""Image files as arrays, every failure told as a DataError that names the file.

Pillow reads them, but for rasters whose bands the manifest chooses and for TIFFs that it cannot read:
those go through rasterio, which reads no more than the part that is asked for.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.schema import ColorMasks, IndexMasks, Manifest, color_rgb
from rsmtdf_core.rasters.bands import BandSettings
from rsmtdf_core.rasters.reading import (
    RasterioDataset,
    Valid,
    open_dataset,
    open_raster,
    told_reading,
)

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_COLOR_MODES = frozenset({"RGB", "RGBA", "P"})
_GREY_MODES = frozenset({"1", "L"})
_INDEX_MODES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
_TIFF = frozenset({".tif", ".tiff"})
_STRIP = 1024  # rows of a raster that are read at a time where all of it is to be seen

Part = tuple[int, int, int, int]  # top, left, height, width, px


def image_size(path: Path, bands: BandSettings | None = None) -> tuple[int, int]:
    """Width and height, px, from the header.

    Raises:
        MissingFileError, DataError: the file is missing or no image, or has not those bands.
    """
    if by_rasterio(path, bands):
        with open_raster(path, bands) as raster:
            return raster.frame.width, raster.frame.height
    with _opened(path) as image:
        width, height = image.size
    return width, height


def by_rasterio(path: Path, bands: BandSettings | None) -> bool:
    """Whether rasterio reads an image: where bands are chosen, and TIFFs that are too much for Pillow."""
    if bands is not None:
        return True
    return path.suffix.lower() in _TIFF and _pillow_mode(path) not in _EIGHT_BIT_MODES


def image_mode(path: Path) -> str:
    """Pillow's name of an image's bands, such as RGB, from the header.

    Raises:
        MissingFileError, DataError: the file is missing or no image.
    """
    with _opened(path) as image:
        return str(image.mode)


def read_image(
    path: Path, bands: BandSettings | None = None, part: Part | None = None
) -> npt.NDArray[np.uint8]:
    """An image as uint8 [H, W, C], RGB first; transparency is dropped, grey becomes three equal bands.

    Args:
        path: the file.
        bands: the manifest's choice of bands.
        part: which part is wanted; all by default.

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, not of 8 bits though no
            scale is given, or has not those bands.
    """
    return read_pixels(path, bands, part)[0]


def read_pixels(
    path: Path, bands: BandSettings | None = None, part: Part | None = None
) -> tuple[npt.NDArray[np.uint8], Valid | None]:
    """The same as `read_image`, and where there is data, bool [H, W]: None where the file cannot say.

    Raises:
        MissingFileError, DataError: as for `read_image`.
    """
    with open_pixels(path, bands) as read:
        return read(part)


@contextmanager
def open_pixels(
    path: Path, bands: BandSettings | None = None
) -> Iterator[Callable[[Part | None], tuple[npt.NDArray[np.uint8], Valid | None]]]:
    """What `read_pixels` returns, for part after part of an image that is opened once; None asks for all.

    Raises:
        MissingFileError, DataError: as for `read_image`.
    """
    if by_rasterio(path, bands):
        with open_raster(path, bands) as raster:
            frame = raster.frame
            yield lambda part: raster.read(*(part or (0, 0, frame.height, frame.width)))
        return
    with _opened(path) as image:
        require_eight_bits(path, image.mode)
        yield lambda part: (
            _decoded(path, image, part, rgb=True).astype(np.uint8, copy=False),
            None,
        )


def require_eight_bits(path: Path, mode: str) -> None:
    """Raise a DataError where the bands of the image at `path` are of another kind."""
    if mode not in _EIGHT_BIT_MODES:
        raise DataError(
            f"expected an image of 8 bits a band, found mode {mode}",
            where=path,
            remedy="convert the image to 8 bits with a stretch of your choice",
        )


def strips(size: tuple[int, int]) -> Iterator[Part]:
    """Parts that together are an image of `size` (width, height), from the top downward."""
    width, height = size
    for top in range(0, height, _STRIP):
        yield top, 0, min(_STRIP, height - top), width


def mask_size(path: Path) -> tuple[int, int]:
    """Width and height of a mask, px, from the header.

    Raises:
        MissingFileError, DataError: the file is missing or no image.
    """
    if path.suffix.lower() in _TIFF and _pillow_mode(path) is None:
        with open_dataset(path) as dataset:
            return dataset.width, dataset.height
    with _opened(path) as image:
        width, height = image.size
    return width, height


def read_mask(path: Path, manifest: Manifest, part: Part | None = None) -> npt.NDArray[np.integer]:
    """A mask's raw pixels: integers [H, W] for "indices", uint8 [H, W, 3] for "colors".

    Grey masks, say of 0 and 255, are colours where the manifest names nothing but greys.

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or of another kind
            than the manifest says.
    """
    with open_mask(path, manifest) as read:
        return read(part)


@contextmanager
def open_mask(
    path: Path, manifest: Manifest
) -> Iterator[Callable[[Part | None], npt.NDArray[np.integer]]]:
    """What `read_mask` returns, for part after part of a mask that is opened once; None asks for all.

    Raises:
        MissingFileError, DataError: as for `read_mask`.
    """
    encoding = manifest.mask_encoding
    if path.suffix.lower() in _TIFF and (manifest.bands or _pillow_mode(path) is None):
        with open_dataset(path) as dataset:
            yield _raster_reader(path, dataset, indices=isinstance(encoding, IndexMasks))
        return
    with _opened(path) as image:
        found = f"an image of mode {image.mode}"
        if isinstance(encoding, IndexMasks):
            if image.mode not in _INDEX_MODES:
                raise _wrong_kind(path, "one band of class indices", found, "colors")
        else:
            colors = [*(spec.color for spec in manifest.classes), *encoding.ignore]
            if image.mode not in _COLOR_MODES and not (
                image.mode in _GREY_MODES and _are_grey(colors)
            ):
                raise _wrong_kind(path, "colours", found, "indices")
        yield lambda part: _decoded(path, image, part, rgb=isinstance(encoding, ColorMasks))


def _raster_reader(
    path: Path, dataset: RasterioDataset, *, indices: bool
) -> Callable[[Part | None], npt.NDArray[np.integer]]:
    kinds = set(dataset.dtypes)
    found = f"{dataset.count} bands of {', '.join(sorted(kinds))}"
    if indices and (dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iu"):
        raise _wrong_kind(path, "one band of class indices", found, "colors")
    if not indices and (dataset.count < 3 or kinds != {"uint8"}):
        raise _wrong_kind(path, "colours", found, "indices")

    def read(part: Part | None) -> npt.NDArray[np.integer]:
        top, left, height, width = part or (0, 0, dataset.height, dataset.width)
        window = ((top, top + height), (left, left + width))
        with told_reading(path):
            raw: npt.NDArray[np.integer] = dataset.read(1 if indices else [1, 2, 3], window=window)
        return raw if indices else np.moveaxis(raw, 0, 2)

    return read


def _decoded(
    path: Path, image: Image.Image, part: Part | None, *, rgb: bool
) -> npt.NDArray[np.integer]:
    """A part's pixels as integers, [H, W, 3] where `rgb`, else [H, W].

    They are converted by rows: a large image would be in memory four times if it were converted in one piece.
    """
    top, left, height, width = part or (0, 0, image.height, image.width)
    pixels: npt.NDArray[np.integer] = np.empty(0, np.uint8)
    for start in range(0, height, _STRIP):
        stop = min(start + _STRIP, height)
        with _told(path):
            rows = image.crop((left, top + start, left + width, top + stop))
        values = np.asarray(rows.convert("RGB") if rgb and rows.mode != "RGB" else rows)
        if not start:
            kind = np.uint8 if values.dtype == bool else values.dtype
            pixels = np.empty((height, *values.shape[1:]), kind)
        pixels[start:stop] = values
    return pixels


def _pillow_mode(path: Path) -> str | None:
    """How Pillow would read a file; None where it cannot, or finds it too large."""
    try:
        with _opened(path) as image:
            return str(image.mode)
    except MissingFileError:
        raise
    except DataError:
        return None


def _are_grey(colors: Iterable[str]) -> bool:
    return all(len(set(color_rgb(color))) == 1 for color in colors)


def read_values(path: Path, *, colors: bool) -> npt.NDArray[np.integer]:
    """A mask's raw pixels before any manifest says what they are.

    Args:
        path: the mask; one with a palette has both indices and colours.
        colors: whether uint8 [H, W, 3] is wanted, or integers [H, W].

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or of the other kind.
    """
    with _opened(path) as image:
        if image.mode in (_COLOR_MODES if colors else _INDEX_MODES):
            return _decoded(path, image, None, rgb=colors)
        expected = "colours, as others do" if colors else "one band of class indices"
        raise DataError(
            f"expected a mask with {expected}, found an image of mode {image.mode}",
            where=path,
            remedy="export all masks in one way, as PNG of 8 bits with one band or as RGB",
        )


def _wrong_kind(path: Path, expected: str, mode: str, other: str) -> DataError:
    return DataError(
        f"the manifest expects a mask with {expected}, found {mode}",
        where=path,
        remedy=f"if the masks hold {other}, set mask_encoding.encoding to that in the manifest",
    )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Pillow's image of a file, not decoded yet."""
    with _told(path), warnings.catch_warnings():
        # Rasters beyond Pillow's first limit are usual here; the second, an error, holds.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path)
    with image:
        yield image


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell what Pillow cannot open or decode as an error that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise MissingFileError(
            "the file is missing", where=path, remedy="put it there, or name the one that is meant"
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(
            str(error), where=path, remedy="cut the raster into smaller files"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise DataError(
            f"the image cannot be read: {error}",
            where=path,
            remedy="fetch or export the file again",
        ) from None
