"""Runs on disk: the folder, its checkpoints, metrics and seals."""
