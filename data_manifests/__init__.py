"""One reviewed file per dataset: its classes, colours, mask encoding and split."""
