"""A folder looked at, so that its manifest need not be written from nothing.

`layout` finds images and their masks, `values` counts what the masks hold, `encoding` says what that means, `splits`
which scenes are for what, `copies` keeps copies of one image in one split.
Each says why it guessed as it did; a person has the last word.
"""

from rsmtdf_core.scenes.guessing.copies import part_copies
from rsmtdf_core.scenes.guessing.encoding import MaskGuess, guess_encoding
from rsmtdf_core.scenes.guessing.layout import Layout, guess_layout
from rsmtdf_core.scenes.guessing.splits import SplitGuess, guess_splits
from rsmtdf_core.scenes.guessing.values import MaskValues, Value, count_values

__all__ = [
    "Layout",
    "MaskGuess",
    "MaskValues",
    "SplitGuess",
    "Value",
    "count_values",
    "guess_encoding",
    "guess_layout",
    "guess_splits",
    "part_copies",
]
