"""Scores of a run on whole scenes."""
