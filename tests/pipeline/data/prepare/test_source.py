"""The source is a folder or archives; the output of an earlier run is none."""

import zipfile

import pytest

from pipeline.data.prepare.settings import PrepareSettings
from pipeline.data.prepare.source import find_source
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError, MissingFileError
from tests.pipeline.data.prepare.drawn import SMALL, draw_tiles


def source_of(to, *sources):
    settings = PrepareSettings(benchmark="deepglobe", source=sources, to=to, partial=True)
    return find_source(SMALL, settings, Silent())


def zipped(folder, archive):
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"land/{path.name}")
    return archive


@pytest.fixture
def tiles(tmp_path):
    draw_tiles(tmp_path / "tiles", 1)
    return tmp_path / "tiles"


def test_a_folder_is_read_without_copying(tiles, tmp_path):
    layout = source_of(tmp_path / "to", tiles)
    assert (layout.root, layout.images) == (tiles, "{tile}_sat.jpg")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("inside", [False, True])
def test_archives_are_unpacked_into_the_output(tiles, tmp_path, inside):
    folder = tmp_path / "archives"
    folder.mkdir()
    archive = zipped(tiles, folder / "land.zip")
    layout = source_of(tmp_path / "to", folder if inside else archive)
    assert layout.root == tmp_path / "to" / "original"
    assert (layout.root / "land" / "0_sat.jpg").read_bytes() == (tiles / "0_sat.jpg").read_bytes()


def test_the_output_of_an_earlier_run_is_no_source(tiles, tmp_path):
    with pytest.raises(MissingFileError):
        source_of(tiles, tmp_path)
    (tiles / "crops").mkdir()
    for path in list(tiles.glob("*_*")):
        path.rename(tiles / "crops" / path.name)
    with pytest.raises(MissingFileError):
        source_of(tiles, tiles)


def test_missing_and_mixed_sources_are_refused(tiles, tmp_path):
    with pytest.raises(MissingFileError) as caught:
        source_of(tmp_path / "to", tmp_path / "absent")
    assert caught.value.where == str(tmp_path / "absent")
    assert SMALL.source in caught.value.remedy
    archive = zipped(tiles, tmp_path / "land.zip")
    for sources in ((tiles, tmp_path), (tiles, archive)):
        with pytest.raises(DataError, match="several folders"):
            source_of(tmp_path / "to", *sources)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"\{tile\}_sat\.jpg"):
        source_of(tmp_path / "to", tmp_path / "empty")
