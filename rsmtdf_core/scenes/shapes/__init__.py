"""Masks drawn as geometries: polygons, lines and points become class ids on the pixels of an image.

`settings` has the keys of a manifest, `features` the contents of a file, `vector` reads GeoPackage, Shapefile and
GeoJSON, `placing` moves geometries to an image's pixels, and `mask` draws them on windows.
"""

GEO = "pip install 'rsmtdf[geo]'"
"""The command that installs the libraries for geometries."""
