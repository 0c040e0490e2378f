"""Writes a self-contained HTML page about runs: scores, data, features and cost.

`gather` collects a `data.PageData` (`chain` traces provenance, `costs` finds stores, `swipe` predicts scenes), `page`
fills the templates of `templates/`, and `run` writes the file.
"""

from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.run import OUT, Report, report

__all__ = ["OUT", "Report", "StoreCost", "report"]
