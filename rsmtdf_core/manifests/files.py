"""Image files as arrays, every failure told as a DataError that names the file."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.schema import IndexMasks, Manifest

_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_INDEX_MODES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})


def image_size(path: Path) -> tuple[int, int]:
    """Width and height, px, from the header.

    Raises:
        MissingFileError, DataError: the file is missing or no image.
    """
    with _opened(path) as image:
        width, height = image.size
    return width, height


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """An image as uint8 [H, W, 3], RGB; transparency is dropped, grey becomes three equal bands.

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or not of 8 bits.
    """
    with _opened(path) as image:
        if image.mode not in _EIGHT_BIT_MODES:
            raise DataError(
                f"expected an image of 8 bits a band, found mode {image.mode}",
                where=path,
                remedy="convert the image to 8 bits with a stretch of your choice",
            )
        return np.asarray(image.convert("RGB"))


def read_mask(path: Path, manifest: Manifest) -> npt.NDArray[np.integer]:
    """A mask's raw pixels: integers [H, W] for "indices", uint8 [H, W, 3] for "colors".

    Raises:
        MissingFileError, DataError: the file is missing, no image, cut off, or of another kind
            than the manifest says.
    """
    with _opened(path) as image:
        if not isinstance(manifest.mask_encoding, IndexMasks):
            if image.mode in {"RGB", "RGBA", "P"}:
                return np.asarray(image.convert("RGB"))
            raise _wrong_kind(path, "colours", image.mode, "indices")
        if image.mode not in _INDEX_MODES:
            raise _wrong_kind(path, "one band of class indices", image.mode, "colors")
        raw = np.asarray(image)
        return raw.astype(np.uint8) if raw.dtype == bool else raw


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
