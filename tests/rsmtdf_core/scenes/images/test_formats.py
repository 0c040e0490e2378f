"""Formats are identified by content, and other files are refused with the command that converts them."""

import logging

import numpy as np
import pytest
from PIL import Image

from pipeline.predict.inputs import find_jobs
from pipeline.predict.settings import PredictSettings
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import find_scenes, with_digests
from rsmtdf_core.scenes.images import FORMATS, IMAGE_SUFFIXES, identify, open_image
from rsmtdf_core.scenes.images.vrt import vrt_sources
from rsmtdf_core.scenes.patterns import match_files
from tests.rasters import CRS, TRANSFORM, rasterio, write_tiff
from tests.rsmtdf_core.scenes.conftest import make_manifest
from tests.rsmtdf_core.scenes.images.virtual_rasters import write_vrt

RGB = np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)


def save(path, form):
    """The image in a format, by whichever library writes it."""
    if form.name in {"TIFF", "ERDAS Imagine", "JPEG 2000"}:
        lossless = {"quality": 100, "reversible": "yes"} if form.name == "JPEG 2000" else {}
        shape = {"count": 3, "height": 20, "width": 30, "dtype": "uint8"}
        with rasterio.open(
            path, "w", driver=form.driver, crs=CRS, transform=TRANSFORM, **shape, **lossless
        ) as file:
            file.write(RGB)
    elif form.name == "VRT":
        write_tiff(path.with_name("source.tif"), RGB)
        write_vrt(path, '<SourceFilename relativeToVRT="1">source.tif</SourceFilename>')
    else:
        Image.fromarray(np.moveaxis(RGB, 0, 2)).save(path, form.pillow)


@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
def test_every_format_is_found_by_its_names_and_read_by_its_content(tmp_path, form):
    for suffix in form.suffixes:
        folder = tmp_path / suffix
        folder.mkdir()
        path = folder / f"a{suffix.upper()}"
        save(path, form)
        assert identify(path) is form
        assert [job.source for job in find_jobs([path], tmp_path / "out", PredictSettings())]
        assert match_files(folder, "{name}.*", ("name",))[("a",)] == path.name
        nameless = path.rename(path.with_suffix(".dat"))
        with open_image(nameless) as image:
            assert image.size == (30, 20)
            pixels = image.read(image.color_bands)
        if form.name not in {"JPEG", "WebP", "GIF"}:
            assert np.array_equal(pixels, np.moveaxis(RGB, 0, 2))


def test_no_suffix_belongs_to_two_formats():
    assert len(set(IMAGE_SUFFIXES)) == len(IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"CDF\1 netCDF", "of another format, not PNG, JPEG, TIFF"),
    ],
)
def test_unsupported_content_is_refused_with_the_conversion_command(tmp_path, content, message):
    path = tmp_path / "a.nc"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught, open_image(path):
        pass
    assert "gdal_translate a.nc a-converted.tif" in caught.value.remedy
    assert caught.value.where == str(path)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(DataError, match="Is a directory"), open_image(tmp_path):
        pass
    with pytest.raises(MissingFileError), open_image(tmp_path / "a.png"):
        pass


def test_the_digest_of_a_vrt_covers_the_files_that_it_names(tmp_path):
    (tmp_path / "images").mkdir()
    save(tmp_path / "images" / "a.vrt", identify_by_name("VRT"))
    source = (tmp_path / "images" / "source.tif").rename(tmp_path / "source.tif")
    write_vrt(
        tmp_path / "images" / "a.vrt",
        '<SourceFilename relativeToVRT="1">../source.tif</SourceFilename>',
    )
    assert [path.resolve() for path in vrt_sources(tmp_path / "images" / "a.vrt")] == [source]

    def digest():
        dataset = find_scenes(make_manifest(splits={"train": {}}, masks=None), tmp_path)
        return with_digests(dataset, dataset.splits["train"])[0].sha256

    before = digest()
    write_tiff(source, 255 - RGB)
    assert digest() != before


def identify_by_name(name):
    return next(form for form in FORMATS if form.name == name)


def test_ten_bands_are_read_without_a_word(tmp_path, capfd, caplog):
    caplog.set_level(logging.WARNING)
    values = np.random.default_rng(0).integers(0, 256, (10, 20, 30), np.uint8)
    for options in ({}, {"compress": "deflate"}, {"interleave": "band"}):
        with open_image(write_tiff(tmp_path / "a.tif", values, **options)) as image:
            assert np.array_equal(image.read(tuple(range(1, 11))), np.moveaxis(values, 0, 2))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_raster_with_georeference_and_orientation_is_refused(tmp_path):
    from PIL import TiffImagePlugin

    path = write_tiff(tmp_path / "a.tif", RGB)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[274] = 3
    with Image.open(path) as image:
        for tag in {33550, 33922, 34735, 34736, 34737} & set(image.tag_v2):
            info[tag] = image.tag_v2[tag]
            info.tagtype[tag] = image.tag_v2.tagtype[tag]
    Image.fromarray(np.moveaxis(RGB, 0, 2)).save(path, tiffinfo=info)
    with rasterio.open(path) as dataset:
        assert dataset.crs is not None
    with (
        pytest.raises(DataError, match="both a georeference and orientation 3"),
        open_image(path),
    ):
        pass
