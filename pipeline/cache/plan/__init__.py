"""Whether caching pays on this machine, and how: measured on the spot, then advised by a pure function.

`measuring` and `disk` run the parts, `values` holds what they found, `estimates` and `advice` reckon.
"""

from pipeline.cache.plan.advice import advise, span
from pipeline.cache.plan.plan_cache import plan_cache
from pipeline.cache.plan.values import Advice, Measurements, PlanReport

__all__ = ["Advice", "Measurements", "PlanReport", "advise", "plan_cache", "span"]
