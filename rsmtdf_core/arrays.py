"""Types of arrays that many modules share. The docstring of a function adds shapes, units and ranges."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""An image or class ids, such as [H, W, 3] or [H, W]."""

Mask = npt.NDArray[np.bool_]
"""A selection of pixels or cells, such as [H, W]."""

Rows = npt.NDArray[np.int64]
"""Row numbers of views in a plan, a group or a store."""

Floats = npt.NDArray[np.float32]
"""Tokens and values computed from them."""

Doubles = npt.NDArray[np.float64]
"""Scores and other sums over many numbers."""
