"""Weights files: read as data, never as code, and brought to the names that our models use."""
