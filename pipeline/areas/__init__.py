"""Estimates the area of each class from maps and reference pixels."""
