"""Files in folders: supported formats are found, others are reported."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.scenes.images.folder import files_below, has_image_name, unread_files, unread_note
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES

COMPANIONS = (
    "a.tfw", "a.tif.aux.xml", "a.tif.ovr", "a.prj", "a.tif.msk", "a.hdr", "a.tif.enp",
    "README", "notes.txt", "areas.shp", "areas.dbf", "stats.CSV", "legend.qml", "world.TFW",
)  # fmt: skip


def test_companions_of_images_are_not_named():
    assert unread_files([Path("x/a.tif"), *(Path("x") / name for name in COMPANIONS)]) == []


@pytest.mark.parametrize(
    "name", ["b.ecw", "B.SID", "b.hdf", "b.npy", "b.tif.gz", "b.heic", "a.b.nc"]
)
def test_other_formats_are_named_with_the_command_that_converts_them(name):
    unread = unread_files([Path("x/a.tif"), Path("x") / name, Path("x/notes.txt")])
    assert unread == [Path("x") / name]
    note = unread_note(unread)
    assert f"1 file of other formats skipped (1 {Path(name).suffix.lower()})" in note
    assert f"gdal_translate {name} " in note


def test_a_file_of_an_images_name_in_another_folder_is_no_companion():
    assert unread_files([Path("x/a.tif"), Path("y/a.ecw")]) == [Path("y/a.ecw")]


@given(
    st.lists(st.sampled_from([*IMAGE_SUFFIXES, ".ecw", ".sid", ".tfw", ".aux.xml"]), max_size=30)
)
def test_every_file_is_an_image_a_companion_or_named(suffixes):
    files = [Path(f"{number}{suffix}") for number, suffix in enumerate(suffixes)]
    unread = unread_files(files)
    images = [path for path in files if has_image_name(path)]
    others = [path for path in files if path.suffix in {".ecw", ".sid"}]
    assert unread == others
    assert not set(unread) & set(images)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "in" / "x").mkdir(parents=True)
    (tmp_path / "other" / ".hidden").mkdir(parents=True)
    for name in ("in/x/a.tif", "other/b.tif", "other/.c.tif", "other/.hidden/d.tif"):
        (tmp_path / name).touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "in" / "x" / "up").symlink_to(tmp_path / "in")
    names = [str(path.relative_to(tmp_path / "in")) for path in files_below(tmp_path / "in")]
    assert sorted(names) == ["link/b.tif", "x/a.tif"]
