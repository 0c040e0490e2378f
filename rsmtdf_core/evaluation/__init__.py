"""Scores, tables and pictures of predictions, under a named protocol."""
