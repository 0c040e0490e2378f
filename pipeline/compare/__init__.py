"""Runs side by side: which belong together, what they score over their seeds, and whether that is fair.

`scoring` reads a run's score, `groups` and `labels` tell configurations apart, `fairness` warns, `tables` and
`pictures` write what was found.
"""

from pipeline.compare.run import OUT, compare, compare_groups
from pipeline.compare.tables import cells, columns
from pipeline.compare.values import Comparison, GroupScores, RunScore, Spread

__all__ = [
    "OUT",
    "Comparison",
    "GroupScores",
    "RunScore",
    "Spread",
    "cells",
    "columns",
    "compare",
    "compare_groups",
]
