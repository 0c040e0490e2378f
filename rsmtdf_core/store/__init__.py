"""Teachers' tokens on disk: written once in whole shards, committed, then memory-mapped."""
