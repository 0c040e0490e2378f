"""Recommend whether and how to cache on this machine: measure first, then advise with a pure function.

`measuring` and `disk` run the parts, `values` defines the results, `estimates` and `advice` compute.
"""

from pipeline.cache.plan.advice import advise
from pipeline.cache.plan.plan_cache import plan_cache
from pipeline.cache.plan.values import Advice, Measurements, PlanReport

__all__ = ["Advice", "Measurements", "PlanReport", "advise", "plan_cache"]
