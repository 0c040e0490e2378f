"""Prepare a published benchmark: check its files, unpack archives, optionally cut crops, and write manifests."""

from pipeline.data.prepare.benchmarks import BENCHMARKS, Benchmark
from pipeline.data.prepare.run import prepare
from pipeline.data.prepare.settings import PrepareReport, PrepareSettings

__all__ = ["BENCHMARKS", "Benchmark", "PrepareReport", "PrepareSettings", "prepare"]
