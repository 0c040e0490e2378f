"""Exports models for other programs, and imports models of other programs."""
