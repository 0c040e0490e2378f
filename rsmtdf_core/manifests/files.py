"""Image files as arrays, every failure told as a DataError that names the file."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.schema import ColorMasks, Manifest, color_rgb

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_COLOR_MODES = frozenset({"RGB", "RGBA", "P"})
_GREY_MODES = frozenset({"1", "L"})
_INDEX_MODES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})


def image_size(path: Path) -> tuple[int, int]:
    """Width and height, px, from the header.

    Raises:
        MissingFileError, DataError: the file is missing or no image.
    """
    with _opened(path) as image:
        width, height = image.size
    return width, height


def image_mode(path: Path) -> str:
    """Pillow's name of an image's bands, such as RGB, from the header.

    Raises:
        MissingFileError, DataError: the file is missing or no image.
    """
    with _opened(path) as image:
        return str(image.mode)


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """An image as uint8 [H, W, 3], RGB; transparency is dropped, grey becomes three equal bands.

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or not of 8 bits.
    """
    with _opened(path) as image:
        require_eight_bits(path, image.mode)
        return np.asarray(image.convert("RGB"))


def require_eight_bits(path: Path, mode: str) -> None:
    """Raise a DataError where the bands of the image at `path` are of another kind."""
    if mode not in _EIGHT_BIT_MODES:
        raise DataError(
            f"expected an image of 8 bits a band, found mode {mode}",
            where=path,
            remedy="convert the image to 8 bits with a stretch of your choice",
        )


def read_mask(path: Path, manifest: Manifest) -> npt.NDArray[np.integer]:
    """A mask's raw pixels: integers [H, W] for "indices", uint8 [H, W, 3] for "colors".

    Grey masks, say of 0 and 255, are colours where the manifest names nothing but greys.

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or of another kind
            than the manifest says.
    """
    with _opened(path) as image:
        encoding = manifest.mask_encoding
        if isinstance(encoding, ColorMasks):
            colors = [*(spec.color for spec in manifest.classes), *encoding.ignore]
            if image.mode in _COLOR_MODES or (image.mode in _GREY_MODES and _are_grey(colors)):
                return np.asarray(image.convert("RGB"))
            raise _wrong_kind(path, "colours", image.mode, "indices")
        if image.mode not in _INDEX_MODES:
            raise _wrong_kind(path, "one band of class indices", image.mode, "colors")
        raw = np.asarray(image)
        return raw.astype(np.uint8) if raw.dtype == bool else raw


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
            raw = np.asarray(image.convert("RGB") if colors else image)
            return raw.astype(np.uint8) if raw.dtype == bool else raw
        expected = "colours, as others do" if colors else "one band of class indices"
        raise DataError(
            f"expected a mask with {expected}, found an image of mode {image.mode}",
            where=path,
            remedy="export all masks in one way, as PNG of 8 bits with one band or as RGB",
        )


def _wrong_kind(path: Path, expected: str, mode: str, other: str) -> DataError:
    return DataError(
        f"the manifest expects a mask with {expected}, found an image of mode {mode}",
        where=path,
        remedy=f"if the masks hold {other}, set mask_encoding.encoding to that in the manifest",
    )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Rasters beyond Pillow's first limit are usual here; the second, an error, holds.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
        with image:
            yield image
    except FileNotFoundError:
        raise MissingFileError("the file is missing", where=path) from None
    except DataError:
        raise
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
