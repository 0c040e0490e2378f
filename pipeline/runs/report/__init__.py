"""One page that says what runs reached, from which data and features, and at what cost.

`gather` reads everything (`chain` follows provenance, `costs` looks stores up, `swipe` predicts scenes), and `run`
writes the file. `page` says what stands where; `figures`, `charts`, `origin` and `swipe` write the parts, in the HTML
of `markup`. The page's frame, style and script are the files page.html, page.css and page.js.
"""

from pipeline.runs.report.costs import StoreCost
from pipeline.runs.report.run import OUT, Report, report

__all__ = ["OUT", "Report", "StoreCost", "report"]
