"""GeoTIFFs, read and written in windows; needs rasterio, the extra `geo`."""
