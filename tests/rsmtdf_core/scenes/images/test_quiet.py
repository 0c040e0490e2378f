"""Warnings of the decoding libraries are silenced, and no others."""

import warnings

import pytest
from rasterio.errors import NotGeoreferencedWarning

from rsmtdf_core.scenes.images.quiet import quiet_decoders


def warn_of_everything():
    warnings.warn_explicit("odd tag", UserWarning, "TiffImagePlugin.py", 1, module="PIL.Tiff")
    warnings.warn("no place", NotGeoreferencedWarning, stacklevel=1)


def test_only_the_decoders_are_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            warn_of_everything()
        quiet_decoders()
        warn_of_everything()
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", UserWarning, stacklevel=1)
