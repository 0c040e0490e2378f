"""One self-contained page on runs: their scores, the data and features behind them, and the cost.

`gather` reads everything into a `data.PageData` (`chain` follows provenance, `costs` looks stores up, `swipe` predicts
scenes), `page` fills the templates of `templates/` with it, and `run` writes the file.
"""

from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.run import OUT, Report, report

__all__ = ["OUT", "Report", "StoreCost", "report"]
