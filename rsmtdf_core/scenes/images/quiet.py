"""Silence the decoders' warnings, as problems with files are reported as errors or notes of ours."""

import warnings


def quiet_decoders() -> None:
    """Ignore the warnings of Pillow and rasterio about opened files, from now on.

    Pillow warns of large rasters and odd tags, rasterio of files without a georeference. The filter applies to the
    whole process: `warnings.catch_warnings` would be undone by other threads that open files at the same time.
    """
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
