from pathlib import Path

import pytest

from pipeline.predict.inputs import find_jobs, left_out
from pipeline.predict.settings import PredictSettings
from rsmtdf_core.errors import DataError, MissingFileError

PLAIN = PredictSettings()
ALL = PredictSettings(probabilities=True, polygons=True, geopackage=True, stac=True)


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def outputs(inputs, out, settings=PLAIN):
    return sorted(
        str(path.relative_to(out))
        for job in find_jobs(inputs, out, settings)
        for path in job.files.values()
    )


def test_rasters_stay_rasters_and_images_become_pictures_with_panels(tmp_path):
    inputs = touch(tmp_path, "a b.TIF", "c.jpeg")
    expected = ["a b-panel.png", "a b.qml", "a b.tif", "c-panel.png", "c.png"]
    assert outputs(inputs, tmp_path / "out") == expected


def test_layers_have_the_maps_name(tmp_path):
    (source,) = touch(tmp_path, "a.v2.tiff")
    layers = ["confidence.tif", "panel.png", "polygons.geojson", "polygons.gpkg"]
    layers += ["probabilities.tif", "stac.json"]
    expected = [*(f"a.v2-{layer}" for layer in layers), "a.v2.qml", "a.v2.tif"]
    assert outputs([source], tmp_path / "out", ALL) == expected


def test_a_folder_gives_its_images_at_any_depth_in_order(tmp_path):
    touch(tmp_path, "b.tif", "x/a.tif", "x/notes.txt", ".hidden/c.tif", "x/.d.tif", "out/e.tif")
    maps = [path for path in outputs([tmp_path], tmp_path / "out") if path.endswith(".tif")]
    assert maps == ["b.tif", "x/a.tif"]


def test_an_image_that_is_named_twice_is_predicted_once(tmp_path):
    (source,) = touch(tmp_path / "in", "a.tif")
    assert len(find_jobs([source, tmp_path / "in", source], tmp_path / "out", PLAIN)) == 1


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (("a.png", "a.jpg"), PLAIN),
        (("x/a.tif", "y/a.tif"), PLAIN),
        (("a.png", "a-panel.jpg"), PLAIN),
        (("a.png", "a.tif"), PredictSettings(confidence=True)),
    ],
)
def test_inputs_with_the_same_output_are_reported(tmp_path, names, settings):
    inputs = touch(tmp_path, *names)
    with pytest.raises(DataError, match="would both be written to one file") as caught:
        find_jobs(inputs, tmp_path / "out", settings)
    assert "--out" in caught.value.remedy


def test_an_input_is_never_replaced(tmp_path):
    (source,) = touch(tmp_path, "a.tif")
    with pytest.raises(DataError, match="would replace an input") as caught:
        find_jobs([source], tmp_path, PredictSettings(overwrite=True))
    assert caught.value.where == str(source)


def test_inputs_that_are_missing_or_empty_are_reported(tmp_path):
    with pytest.raises(MissingFileError, match="the image or folder does not exist"):
        find_jobs([tmp_path / "a.tif"], tmp_path / "out", PLAIN)
    touch(tmp_path / "in", "notes.txt")
    with pytest.raises(DataError, match="the folder has no image") as caught:
        find_jobs([tmp_path / "in"], tmp_path / "out", PLAIN)
    assert caught.value.where == str(tmp_path / "in")


def test_a_folder_of_formats_that_are_not_read_names_them_and_the_way_out(tmp_path):
    touch(tmp_path / "in", "a.ecw", "b.ecw", "c.sid", "a.tfw")
    with pytest.raises(
        DataError, match=r"3 files of other formats skipped \(2 \.ecw, 1 \.sid\)"
    ) as caught:
        find_jobs([tmp_path / "in"], tmp_path / "out", PLAIN)
    assert "gdal_translate a.ecw" in caught.value.what
    assert caught.value.remedy == "convert the files first"


def test_files_left_out_are_those_of_the_folders_named_and_none_of_the_output(tmp_path):
    source, unread = touch(tmp_path / "in", "a.tif", "x/b.ecw")
    touch(tmp_path / "in", "a.tfw", "x/notes.txt", "out/c.nc", ".hidden/d.nc")
    assert left_out([tmp_path / "in", source], tmp_path / "in" / "out") == [unread]


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "there", "a.tif")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "there")
    assert "link/a.tif" in outputs([tmp_path / "in"], tmp_path / "out")
