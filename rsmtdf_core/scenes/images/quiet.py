"""Silence the decoders' warnings, as problems with files are reported as errors or notes of ours."""

import warnings


def quiet_decoders() -> None:
    """Ignore the warnings of Pillow, rasterio and pyogrio about opened files, from now on.

    Pillow warns of large rasters and odd tags, rasterio of files without a georeference, pyogrio of open rings. The
    filter applies to the whole process: `warnings.catch_warnings` would be undone by other threads that open files at
    the same time.
    """
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("ignore", module=r"pyogrio\.")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
