"""Guess the manifest of a folder.

`layout` pairs images with masks, `values` counts the mask values, `encoding` interprets them, `bands` chooses bands,
`splits` assigns scenes to splits, and `copies` keeps copies of one image in one split.
Each guess comes with its reason, for a person to review.
"""

from rsmtdf_core.scenes.guessing.copies import part_copies
from rsmtdf_core.scenes.guessing.encoding import MaskGuess, guess_encoding, named_encoding
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
    "named_encoding",
    "part_copies",
]
