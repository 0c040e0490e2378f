"""Cut a few large rasters into windows, and split these (tests: test_init_shapes.py)."""

from collections.abc import Mapping

from rsmtdf_core.scenes.guessing import SplitGuess
from rsmtdf_core.scenes.split_settings import SplitSpec
from rsmtdf_core.scenes.window_settings import WindowSpec

_FEW = 7  # with fewer images, splits of images are too coarse
_SMALLEST, _LARGEST = 64, 512  # px


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
    if window_of(sizes) is None:
        return None
    return SplitGuess(
        {
            "train": SplitSpec(share=(0, 0.7), by="crop"),
            "val": SplitSpec(share=(0.7, 0.85), by="crop"),
            "test": SplitSpec(share=(0.85, 1), by="crop"),
        },
        "windows by chance: neighbors are in different splits, which flatters the scores",
    )
