"""One page that says what runs reached, from which data and features, and at what cost.

`run` gathers and writes; `chain` follows provenance, `swipe` makes panels, `charts` and `sections` write HTML
with the helpers of `markup`. The page's frame, style and script are the files page.html, page.css and page.js.
"""

from pipeline.report.chain import StoreCost
from pipeline.report.run import OUT, Report, report

__all__ = ["OUT", "Report", "StoreCost", "report"]
