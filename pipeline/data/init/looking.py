"""Read a folder: pairs of images and masks, sizes, bands, and the values of the masks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.data.init.choice import ShapeChoice, ShapeGuess
from pipeline.data.init.labels import guess_labels
from pipeline.data.init.windows import block_spec
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.files import image_size
from rsmtdf_core.scenes.find import in_threads
from rsmtdf_core.scenes.guessing import Layout, MaskValues, count_values, guess_layout
from rsmtdf_core.scenes.guessing.bands import guess_bands
from rsmtdf_core.scenes.images.file import open_image
from rsmtdf_core.scenes.images.folder import files_below, unread_files, unread_note
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.split_settings import BlockSpec

_SEEN = 16  # images whose values are counted if no file name identifies the masks
_FEW_VALUES = 16


@dataclass(frozen=True)
class Looked:
    """The contents of a folder, before any decision.

    Attributes:
        root: the folder.
        layout: its files and the patterns that pair them.
        sizes: number of images of each width and height, px.
        kinds: number of images of each kind of bands, such as "4 bands of uint16".
        bands: the bands that are shown, and their scale; None if all images have 8 bits and no choice was given.
        values: the values in the masks; None without masks.
        shapes: the keys of labels that are drawn as geometries; None without them.
        undeclared: image values that look like nodata although no file declares them.
        blocks: the blocks of the splits, if they were chosen.
    """

    root: Path
    layout: Layout
    sizes: Counter[tuple[int, int]]
    kinds: Counter[str]
    bands: BandSettings | None
    values: MaskValues | None
    undeclared: tuple[float, ...] = ()
    shapes: ShapeGuess | None = None
    blocks: BlockSpec | None = None


def look(
    root: Path,
    reporter: Reporter | None = None,
    bands: BandSettings | None = None,
    patterns: tuple[Sequence[str] | None, str | None] = (None, None),
    shapes: ShapeChoice | None = None,
    blocks: tuple[float, float] | None = None,
) -> Looked:
    """Find images and masks below `root`, and read every image's header and every mask's pixels.

    Args:
        root: the folder.
        reporter: shows progress.
        bands: the bands to show; None guesses them.
        patterns: path patterns of an image's files, and that of the masks; None guesses them.
        shapes: facts about labels that are drawn as geometries.
        blocks: side and buffer of blocks for the splits, in m if all images have a georeference, else px.

    Raises:
        ConfigError: If folders name the splits, so that there is no use for blocks.
        MissingFileError: If there is no image.
        DataError: If a file is damaged or does not fit the others.
    """
    layout = guess_layout(root, *patterns)
    if reporter is not None and (unread := unread_files(files_below(root))):
        reporter.warn(unread_note(unread))
    if blocks is not None and layout.split_field is not None:
        raise ConfigError(
            "the folders name the splits, so none are drawn by block",
            where=root,
            remedy="omit --blocks",
        )
    sources = layout.sources(root)
    headers = list(in_threads(_header, sources))
    if bands is None or bands.scale is None:
        _require_one_depth(sources, [header.depth for header in headers])
    undeclared: tuple[float, ...] = ()
    if bands is not None or any(header.needs_choice for header in headers):
        guess = guess_bands(sources, bands)
        bands, undeclared = guess.bands, guess.undeclared
    shapes = shapes or ShapeChoice()
    if shapes.labels is not None and layout.masks is not None:
        raise DataError(
            f"the images have masks, {layout.masks}, so labels drawn as shapes are not used",
            where=root,
            remedy="omit --labels; or, to use them, add "
            + " ".join(f"--images {pattern!r}" for pattern in layout.images),
        )
    guess_of_shapes = None
    if layout.masks is None and (patterns[0] is None or shapes.labels is not None):
        guess_of_shapes = guess_labels(root, layout, shapes)
    if guess_of_shapes is not None and guess_of_shapes.labeled is not None:
        layout = _with_labels(layout, guess_of_shapes.labeled)
    if layout.masks is None and patterns[0] is None and guess_of_shapes is None:
        _refuse_unnamed_masks(root, layout)
    sizes = Counter(in_threads(lambda source: image_size(source, bands), sources))
    values = None
    if layout.mask_files:
        with (reporter or Silent()).bar("reading masks", len(layout.mask_files)) as bar:
            values = count_values(root, layout.mask_files, bar.advance)
    kinds = Counter(header.kind for header in headers)
    spec = None if blocks is None else block_spec(*blocks, [header.frame for header in headers])
    return Looked(root, layout, sizes, kinds, bands, values, undeclared, guess_of_shapes, spec)


def _with_labels(layout: Layout, labeled: frozenset[str]) -> Layout:
    """Return the layout with the images that have labels."""
    pairs = tuple(
        (values, image in labeled)
        for (values, _), (image, *_more) in zip(layout.pairs, layout.image_files, strict=True)
    )
    why = f"{len(pairs)} images, {len(labeled)} of them labeled"
    return replace(layout, pairs=pairs, why=why)


@dataclass(frozen=True)
class _ImageHeader:
    """An image's bands in words, their depth, whether they must be chosen (two, or above 8 bits), and its frame."""

    kind: str
    depth: str
    needs_choice: bool
    frame: Frame


def _header(source: Source) -> _ImageHeader:
    with open_image(source) as image:
        floats = any(dtype.kind == "f" for dtype in image.dtypes)
        depth = "8 bits" if image.eight_bits else "floating point" if floats else "more than 8 bits"
        needs_choice = not image.eight_bits or len(image.color_bands) == 2
        return _ImageHeader(image.describe(), depth, needs_choice, image.frame)


def _require_one_depth(sources: Sequence[Source], depths: Sequence[str]) -> None:
    """Refuse a mix of 8-bit and deeper images: a common range would show some of them black."""
    counts = Counter(depths)
    if len(counts) < 2:
        return
    common, rare = counts.most_common()[0][0], counts.most_common()[-1][0]
    raise DataError(
        f"{counts[rare]} of {len(sources)} images are of {rare}, others of {common}, such as "
        f"{sources[depths.index(common)]}",
        where=sources[depths.index(rare)],
        remedy="keep images of one kind in a folder: convert these or move them away; or, if all values have the "
        "same range, name it with --scale",
    )


def _refuse_unnamed_masks(root: Path, layout: Layout) -> None:
    """Refuse images if many have as few values as masks, and no file name identifies masks.

    Raises:
        DataError: If so; the message names one of them.
    """
    files = [files[0] for files in layout.image_files]
    seen = files[:: -(-len(files) // _SEEN)]
    alike = [
        path
        for path, few in zip(
            seen, in_threads(lambda path: _has_few_values(root, path), seen), strict=True
        )
        if few
    ]
    if len(alike) * 4 >= len(seen):
        raise DataError(
            f"{alike[0]} looks like a mask, as it holds few values, but no file name distinguishes images from masks",
            where=root,
            remedy="name the patterns: --images 'images/{name}.png' --masks 'masks/{name}.png'; if all are images, "
            "only --images",
        )


def _has_few_values(root: Path, path: str) -> bool:
    try:
        return 1 < len(count_values(root, [path]).counts) <= _FEW_VALUES
    except DataError:  # more values than any mask, or not whole numbers
        return False
