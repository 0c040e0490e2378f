"""`rsmtdf data`: datasets and their manifests."""
