"""From the archives of a published benchmark to manifests: checked, unpacked and, where asked for, cut into crops."""

from pipeline.prepare.benchmarks import BENCHMARKS, Benchmark
from pipeline.prepare.run import prepare
from pipeline.prepare.settings import PrepareReport, PrepareSettings

__all__ = ["BENCHMARKS", "Benchmark", "PrepareReport", "PrepareSettings", "prepare"]
