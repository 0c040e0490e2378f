"""Scores a run on whole scenes."""
