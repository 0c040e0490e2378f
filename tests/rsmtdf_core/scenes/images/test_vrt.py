"""A virtual raster names local images alone, whose pixels it copies; everything else is refused unopened."""

import numpy as np
import pytest

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images import open_image
from rsmtdf_core.scenes.images.vrt import require_local_sources, vrt_sources
from tests.rasters import write_tiff
from tests.rsmtdf_core.scenes.images.virtual_rasters import write_vrt

RGB = np.random.default_rng(0).integers(0, 256, (3, 20, 30), np.uint8)


@pytest.mark.parametrize(
    "source",
    [
        "<SourceFilename>/vsicurl/http://127.0.0.1:9/a.tif</SourceFilename>",
        "<sourcefilename>/vsicurl/http://127.0.0.1:9/a.tif</sourcefilename>",
        "<SourceFilename>http://127.0.0.1:9/a.tif</SourceFilename>",
        "<SourceFilename>WMTS:http://127.0.0.1:9/a</SourceFilename>",
        "<SourceFilename>&lt;VRTDataset/&gt;</SourceFilename>",
        '<Other SourceFilename="/vsicurl/http://127.0.0.1:9/a.tif"/>',
        "<SourceFilename>a.tif<OpenOptions/></SourceFilename>",
    ],
)
def test_a_vrt_that_names_more_than_local_files_is_not_opened(tmp_path, source):
    write_vrt(tmp_path / "a.vrt", source)
    with (
        pytest.raises(DataError, match="the VRT is not read") as caught,
        open_image(tmp_path / "a.vrt"),
    ):
        pass
    assert caught.value.remedy.startswith("gdal_translate a.vrt a.tif")


@pytest.mark.parametrize(
    ("attributes", "more"),
    [
        ('subClass="VRTDerivedRasterBand"', "<PixelFunctionType>sum</PixelFunctionType>"),
        ("", "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode/>"),
        ('subclass="VRTRawRasterBand"', ""),
    ],
)
def test_a_vrt_that_computes_pixels_is_not_opened(tmp_path, attributes, more):
    write_tiff(tmp_path / "source.tif", RGB)
    source = '<SourceFilename relativeToVRT="1">source.tif</SourceFilename>'
    write_vrt(tmp_path / "a.vrt", source, attributes, more)
    with pytest.raises(DataError, match="computed, not copied"), open_image(tmp_path / "a.vrt"):
        pass


def test_code_in_a_vrt_is_not_run_even_if_the_user_allows_gdal_to(tmp_path, monkeypatch):
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    write_tiff(tmp_path / "source.tif", RGB)
    code = f"open({str(tmp_path / 'ran')!r}, 'w')"
    write_vrt(
        tmp_path / "a.vrt",
        '<SourceFilename relativeToVRT="1">source.tif</SourceFilename>',
        'SUBCLASS="VRTDerivedRasterBand"',
        "<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionType>f</PixelFunctionType>"
        f"<PixelFunctionCode><![CDATA[{code}]]></PixelFunctionCode>",
    )
    with pytest.raises(DataError), open_image(tmp_path / "a.vrt") as image:
        image.read((1,))
    assert not (tmp_path / "ran").exists()


def test_a_vrt_without_its_source_names_the_file(tmp_path):
    write_vrt(tmp_path / "a.vrt", '<SourceFilename relativeToVRT="1">gone.tif</SourceFilename>')
    with pytest.raises(MissingFileError) as caught, open_image(tmp_path / "a.vrt"):
        pass
    assert caught.value.where == str(tmp_path / "gone.tif")


def test_vrts_that_name_each_other_are_refused(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        source = f'<SourceFilename relativeToVRT="1">{other}.vrt</SourceFilename>'
        write_vrt(tmp_path / f"{name}.vrt", source)
    with pytest.raises(DataError, match="name each other"), open_image(tmp_path / "a.vrt"):
        pass


def test_entities_in_a_vrt_are_refused(tmp_path):
    (tmp_path / "a.vrt").write_text('<!DOCTYPE a [<!ENTITY b "c">]><VRTDataset>&b;</VRTDataset>')
    with pytest.raises(DataError, match="declares entities"), open_image(tmp_path / "a.vrt"):
        pass


def test_all_sources_are_named_once_in_their_order_through_other_vrts(tmp_path):
    for name in ("a", "b"):
        write_tiff(tmp_path / f"{name}.tif", RGB)
    write_vrt(tmp_path / "inner.vrt", '<SourceFilename relativeToVRT="1">b.tif</SourceFilename>')
    write_vrt(
        tmp_path / "outer.vrt",
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        '<SourceFilename relativeToVRT="1">inner.vrt</SourceFilename>'
        f"<SourceFilename>{tmp_path / 'b.tif'}</SourceFilename>",
    )
    require_local_sources(tmp_path / "outer.vrt")
    names = [path.name for path in vrt_sources(tmp_path / "outer.vrt")]
    assert names == ["a.tif", "inner.vrt", "b.tif"]


def test_a_vrt_that_is_no_xml_or_is_missing_is_named(tmp_path):
    path = tmp_path / "a.vrt"
    for content in (b"", b"<VRTDataset>", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read") as caught:
            vrt_sources(path)
        assert caught.value.where == str(path)
