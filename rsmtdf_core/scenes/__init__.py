"""The scenes of a dataset: its manifest, and the reading of its images and masks."""
