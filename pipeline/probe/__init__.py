"""Probe features linearly: which teacher is worth caching, and what a trained student keeps of its teachers.

`sample` chooses views and folds, `sources` reads or computes features, `scoring` fits and scores, `verdict` explains.
"""

from pipeline.probe.run import open_source, probe
from pipeline.probe.values import ProbeReport

__all__ = ["ProbeReport", "open_source", "probe"]
