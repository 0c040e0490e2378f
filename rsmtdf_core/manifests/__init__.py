"""Which scenes a dataset has: reviewed manifests, scenes found on disk, class ids, checks."""
