"""Frozen models with a common interface: load a model, identify it, and compute tokens of views."""
