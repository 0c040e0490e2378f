"""Whether caching pays on this machine, and how: measured on the spot, then advised by a pure function.

`measuring` and `disk` run the parts, `values` holds what they found, `estimates` and `advice` reckon.
"""

from pipeline.planner.advice import advise, span
from pipeline.planner.plan_cache import plan_cache
from pipeline.planner.values import Advice, Measurements, PlanReport

__all__ = ["Advice", "Measurements", "PlanReport", "advise", "plan_cache", "span"]
