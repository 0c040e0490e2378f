"""`rsmtdf data`: fetch, prepare and check datasets, and write their manifests."""
