"""Datasets: write a manifest, check it, prepare the public benchmarks."""
