"""Compares runs: groups them by configuration, summarizes their scores over seeds, and warns of unfair comparisons.

`scoring` reads the score of a run, `groups` and `labels` distinguish configurations, `fairness` warns, `tables` and
`pictures` write the results.
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
