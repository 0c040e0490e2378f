"""Evaluation protocols: named, exact rules that compute scores from counted pixels."""
