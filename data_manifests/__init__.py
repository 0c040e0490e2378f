"""One reviewed file per dataset: its classes, colors, mask encoding and splits."""
