"""What trainings left on disk, read without loading torch, so that a list of many runs is quick.

`record` reads one run, `summary` says it in a row, `finding` looks for runs below a folder.
"""

from pipeline.runs.finding import RunList, RunProblem, SortKey, find_runs, list_runs
from pipeline.runs.record import RunRecord, read_run
from pipeline.runs.summary import RunFeatures, RunSummary, summarise

__all__ = [
    "RunFeatures",
    "RunList",
    "RunProblem",
    "RunRecord",
    "RunSummary",
    "SortKey",
    "find_runs",
    "list_runs",
    "read_run",
    "summarise",
]
