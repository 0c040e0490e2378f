"""Companions are all files that GDAL reads with an image, and no others."""

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.companions import companions
from tests.rasters import write_tiff


def test_masks_metadata_and_pixel_files_next_to_an_image_are_companions(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((1, 64, 64), np.uint8))
    assert companions(path) == []
    for name in ("a.tif.msk", "a.tif.aux.xml", "a.ige", "a.txt", "b.tif.msk", "a.msk"):
        (tmp_path / name).touch()
    (tmp_path / "a.tif.ovr").touch()
    assert {file.name for file in companions(path)} == {"a.tif.msk", "a.tif.aux.xml", "a.ige"}


def test_a_virtual_raster_has_its_sources_and_their_companions(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((1, 64, 64), np.uint8))
    (tmp_path / "a.tif.msk").touch()
    vrt = tmp_path / "all.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    (tmp_path / "all.vrt.aux.xml").touch()
    names = [file.name for file in companions(vrt)]
    assert names[0] == "a.tif"
    assert sorted(names[1:]) == ["a.tif.msk", "all.vrt.aux.xml"]


def test_a_file_that_is_no_image_has_none(tmp_path):
    with pytest.raises(MissingFileError):
        companions(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError):
        companions(tmp_path / "a.png")
    Image.new("L", (2, 2)).save(tmp_path / "b.png")
    assert companions(tmp_path / "b.png") == []
