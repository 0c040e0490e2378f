"""What is in a folder: pairs, sizes, bands, and the values of the masks."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporter import Reporter, Silent
from rsmtdf_core.images.file import open_image
from rsmtdf_core.manifests.files import image_size
from rsmtdf_core.manifests.guessing import Layout, MaskValues, count_values, guess_layout
from rsmtdf_core.manifests.scenes import in_threads
from rsmtdf_core.rasters.bands import BandSettings
from rsmtdf_core.rasters.guessing import guess_bands


@dataclass(frozen=True)
class Looked:
    """What is in a folder, before anything is decided.

    Attributes:
        root: the folder.
        layout: its files and the patterns that pair them.
        sizes: images of each width and height, px.
        kinds: images of each kind of bands, such as "4 bands of uint16".
        bands: which bands are shown, and how they are scaled; None where all images are of 8 bits and nobody chose.
        values: what the masks hold; None where there are none.
    """

    root: Path
    layout: Layout
    sizes: Counter[tuple[int, int]]
    kinds: Counter[str]
    bands: BandSettings | None
    values: MaskValues | None


def look(
    root: Path,
    reporter: Reporter | None = None,
    bands: BandSettings | None = None,
    patterns: tuple[str | None, str | None] = (None, None),
) -> Looked:
    """Find images and masks below `root`, read every image's header and every mask's pixels.

    Args:
        root: the folder.
        reporter: shows progress.
        bands: which bands are shown, where somebody chose.
        patterns: path patterns of images and masks, where somebody named them.

    Raises:
        MissingFileError, DataError: where there is no image, or a file cannot be what it seems.
    """
    layout = guess_layout(root, *patterns)
    paths = [root / one for one in layout.image_files]
    headers = list(in_threads(_header, paths))
    if bands is not None or any(unclear for _, unclear in headers):
        bands = guess_bands(paths, bands)
    sizes = Counter(in_threads(lambda path: image_size(path, bands), paths))
    values = None
    if layout.mask_files:
        with (reporter or Silent()).bar("reading masks", len(layout.mask_files)) as bar:
            values = count_values(root, layout.mask_files, bar.advance)
    return Looked(root, layout, sizes, Counter(kind for kind, _ in headers), bands, values)


def _header(path: Path) -> tuple[str, bool]:
    """The bands of an image in words, and whether they must be chosen: they are two, or need a scale."""
    with open_image(path) as image:
        return image.describe(), not image.eight_bits or len(image.color_bands) == 2
