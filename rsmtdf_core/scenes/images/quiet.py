"""Decoders without their noise: what is wrong with a file is an error or a sentence of ours."""

import warnings


def quiet_decoders() -> None:
    """Ignore the warnings of Pillow and rasterio about the files that they open, from now on.

    Pillow warns of large rasters and odd tags, rasterio of files without a place. The filter is of the whole process:
    `warnings.catch_warnings` would be undone by other threads that open files at the same time.
    """
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
