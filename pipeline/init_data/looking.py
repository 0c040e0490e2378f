"""What is in a folder: pairs, sizes, bands, and the values of the masks."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporter import Reporter, Silent
from rsmtdf_core.manifests.files import image_mode, image_size, require_eight_bits
from rsmtdf_core.manifests.guessing import Layout, MaskValues, count_values, guess_layout
from rsmtdf_core.manifests.scenes import in_threads


@dataclass(frozen=True)
class Looked:
    """What is in a folder, before anything is decided.

    Attributes:
        root: the folder.
        layout: its files and the patterns that pair them.
        sizes: images of each width and height, px.
        modes: images of each kind of bands, in Pillow's names.
        values: what the masks hold; None where there are none.
    """

    root: Path
    layout: Layout
    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    values: MaskValues | None


def look(root: Path, reporter: Reporter | None = None) -> Looked:
    """Find images and masks below `root`, read every image's header and every mask's pixels.

    Raises:
        MissingFileError, DataError: where there is no image, or a file cannot be what it seems.
    """
    layout = guess_layout(root)
    paths = [root / one for one in layout.image_files]
    sizes = Counter(in_threads(image_size, paths))
    modes: Counter[str] = Counter()
    for path, mode in zip(paths, in_threads(image_mode, paths), strict=True):
        require_eight_bits(path, mode)
        modes[mode] += 1
    values = None
    if layout.mask_files:
        with (reporter or Silent()).bar("reading masks", len(layout.mask_files)) as bar:
            values = count_values(root, layout.mask_files, bar.advance)
    return Looked(root, layout, sizes, modes, values)
