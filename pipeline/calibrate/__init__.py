"""Fits the temperature that calibrates a run's confidences."""
