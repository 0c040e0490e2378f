"""Runs side by side: which belong together, what they score over their seeds, and whether that is fair.

`scoring` reads a run's score, `groups` and `labels` tell configurations apart, `fairness` warns, `tables` and
`pictures` write what was found.
"""

from pipeline.runs.compare.run import OUT, compare, compare_groups
from pipeline.runs.compare.tables import cells, columns
from pipeline.runs.compare.values import Comparison, GroupScores, MeanStd, RunScore

__all__ = [
    "OUT",
    "Comparison",
    "GroupScores",
    "MeanStd",
    "RunScore",
    "cells",
    "columns",
    "compare",
    "compare_groups",
]
