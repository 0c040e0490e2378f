"""Tags are read from files as writers write them, and damage to a file is no error here."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rsmtdf_core.scenes.images.orientation import TAG
from rsmtdf_core.scenes.images.tags import picture_orientation, png_tags, tiff_orientation

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def exif(tag):
    data = Image.Exif()
    data[TAG] = tag
    return data


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(bits, color, *more):
    header = struct.pack(">IIBBBBB", 4, 4, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IEND", b"")


@pytest.mark.parametrize("tag", range(1, 9))
def test_orientations_of_pngs_and_tiffs_are_read(tmp_path, tag):
    for suffix in ("png", "tif", "jpg"):
        Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", exif=exif(tag))
    assert png_tags(tmp_path / "a.png").orientation.tag == tag
    assert tiff_orientation(tmp_path / "a.tif").tag == tag
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture_orientation(picture).tag == tag


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tag", [1, 6])
def test_both_byte_orders_and_bigtiff_are_read(tmp_path, order, big, tag):
    mark = b"II" if order == "<" else b"MM"
    if big:
        start = mark + struct.pack(order + "HHHQ", 43, 8, 0, 16)
        entries = [(256, 3, 1, 4), (TAG, 3, 1, tag)]
        content = struct.pack(order + "Q", 2) + b"".join(
            struct.pack(order + "HHQHHI", *entry, 0, 0) for entry in entries
        )
    else:
        start = mark + struct.pack(order + "HI", 42, 8)
        entries = [(256, 3, 1, 4), (TAG, 3, 1, tag)]
        content = struct.pack(order + "H", 2) + b"".join(
            struct.pack(order + "HHIHH", *entry, 0) for entry in entries
        )
    (tmp_path / "a.tif").write_bytes(start + content)
    assert tiff_orientation(tmp_path / "a.tif").tag == tag


@pytest.mark.parametrize(
    ("bits", "color", "indexed", "plain"),
    [
        (8, 2, False, True),
        (8, 0, False, True),
        (2, 3, True, True),
        (8, 3, True, True),
        (16, 2, False, False),
        (4, 0, False, False),
        (1, 0, False, False),
    ],
)
def test_bits_and_palettes_of_pngs_are_read(tmp_path, bits, color, indexed, plain):
    (tmp_path / "a.png").write_bytes(png(bits, color))
    tags = png_tags(tmp_path / "a.png")
    assert (tags.bits, tags.indexed, tags.plain) == (bits, indexed, plain)
    assert tags.orientation.tag == 1


def test_exif_after_the_pixels_is_read(tmp_path):
    data = exif(8).tobytes().removeprefix(b"Exif\0\0")
    content = png(8, 2, chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", b"\0" * 5000), chunk(b"eXIf", data))
    (tmp_path / "a.png").write_bytes(content)
    assert png_tags(tmp_path / "a.png").orientation.tag == 8


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]))
def test_any_bytes_are_an_image_without_an_orientation_or_with_one(
    tmp_path_factory, content, start
):
    path = tmp_path_factory.mktemp("tags") / "file"
    path.write_bytes(start + content)
    assert tiff_orientation(path).tag in range(1, 9)
    path.write_bytes(png(8, 2)[:33] + content)
    assert png_tags(path).bits == 8


@given(st.binary(max_size=60))
def test_damaged_exif_is_no_orientation(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("tags") / "a.png"
    path.write_bytes(png(8, 2, chunk(b"eXIf", content)))
    assert png_tags(path).orientation.tag in range(1, 9)
    assert not png_tags(path).indexed
