"""The scenes of a dataset: its manifest, the images and masks on disk, and how they are read."""
