"""From the archives of a published benchmark to manifests: checked, unpacked and, where asked for, cut into crops."""

from pipeline.data.prepare.benchmarks import BENCHMARKS, Benchmark
from pipeline.data.prepare.run import prepare
from pipeline.data.prepare.settings import PrepareReport, PrepareSettings

__all__ = ["BENCHMARKS", "Benchmark", "PrepareReport", "PrepareSettings", "prepare"]
