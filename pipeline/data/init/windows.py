"""Cut large rasters into windows, and split these by chance or by block (tests: test_init_blocks.py)."""

from collections.abc import Mapping, Sequence

from rsmtdf_core.scenes.blocks import common_crs
from rsmtdf_core.scenes.guessing import SplitGuess
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.split_settings import BlockSpec, SplitSpec
from rsmtdf_core.scenes.window_settings import WindowSpec
from rsmtdf_core.validation import validate

_FEW = 7  # with fewer images, splits of images are too coarse
_SMALLEST, _LARGEST = 64, 512  # px
_LARGE = 2048  # px; the sides of images that are cut into windows, however many there are


def window_of(sizes: Mapping[tuple[int, int], int]) -> WindowSpec | None:
    """Propose windows for images of few, large sizes: at most 512 px, at least four by four in the smallest image.

    Args:
        sizes: number of images of each width and height, px.

    Returns:
        Windows without overlap; None for many or small images.
    """
    quarter = min(map(min, sizes)) // 4
    if sum(sizes.values()) >= _FEW or quarter < _SMALLEST:
        return None
    side = min(_LARGEST, 2 ** (quarter.bit_length() - 1))
    return WindowSpec(size=side, stride=side)


def windowed_splits(sizes: Mapping[tuple[int, int], int]) -> SplitGuess | None:
    """Propose splits of the windows by chance; None without windows."""
    window = window_of(sizes)
    if window is None:
        return None
    return SplitGuess(
        {
            "train": SplitSpec(share=(0, 0.7), by="crop"),
            "val": SplitSpec(share=(0.7, 0.85), by="crop"),
            "test": SplitSpec(share=(0.85, 1), by="crop"),
        },
        "windows by chance: neighbors are in different splits, which flatters the scores; --blocks keeps them apart",
        window=window,
    )


def blocked_splits(sizes: Mapping[tuple[int, int], int], blocks: BlockSpec) -> SplitGuess:
    """Propose splits by block, of windows if the images are large, else of whole images.

    Args:
        sizes: number of images of each width and height, px.
        blocks: the blocks.
    """
    window = window_of(sizes)
    if min(map(min, sizes)) > _LARGE:
        window = WindowSpec(size=_LARGEST, stride=_LARGEST)
    return SplitGuess(
        {
            "train": SplitSpec(share=(0, 0.7), by="block"),
            "val": SplitSpec(share=(0.7, 0.85), by="block"),
            "test": SplitSpec(share=(0.85, 1), by="block"),
        },
        f"{blocks.describe()}, by chance",
        window=window,
        blocks=blocks,
    )


def block_spec(size: float, buffer: float, frames: Sequence[Frame]) -> BlockSpec:
    """Return blocks in meters if all images have a georeference, else in pixels.

    Args:
        size: side of a block.
        buffer: least distance of scenes of different splits.
        frames: size and georeference of each image.

    Raises:
        ConfigError: If size or buffer is out of range.
    """
    values: dict[str, object] = {"size": size, "buffer": buffer, "unit": "px"}
    if all(frame.bounds is not None for frame in frames):
        values |= {"unit": "m", "crs": common_crs(frames)}
    return validate(BlockSpec, values, "--blocks and --block-buffer")
