"""Weights files, read as data and never as code, with their tensors renamed for our models."""
