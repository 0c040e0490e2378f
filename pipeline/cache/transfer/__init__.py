"""Export stores as plain files to any fsspec address, and import them."""
