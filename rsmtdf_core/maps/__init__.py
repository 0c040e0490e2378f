"""GeoTIFFs, read and written in windows."""
