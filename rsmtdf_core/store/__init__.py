"""Teachers' tokens on disk: written once as whole shards, committed, then memory-mapped."""
