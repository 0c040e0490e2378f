"""A search finds the scene that an image was cut from, by cached tokens or by the teacher."""

import csv
import json
import shutil
from importlib.resources import files

import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image
from rasterio.warp import transform

import data_manifests
from pipeline.archive.archive import open_config
from pipeline.archive.query import Query, _Place, _starts, _windows, parse_like
from pipeline.archive.search import nearest_views, search
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.errors import ConfigError, DataError, MissingFileError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.teachers.teacher import live_teachers
from rsmtdf_core.views.view import Box
from tests.rasters import write_tiff

packaged = files(data_manifests)


@pytest.fixture
def extracted(make_config):
    """The small experiment's config, with its features in the cache."""
    config = make_config("runtime.extract_workers=1")
    extract(config)
    return config


def test_a_scene_is_compared_by_its_cached_tokens_and_not_with_itself(extracted, tmp_path):
    plan = plan_experiment(extracted).plan
    name = plan.scenes[3].id
    report = search(extracted, name, 5, tmp_path / "out")
    assert live_teachers() == 0
    names = [match.scene for match in report.matches]
    assert len(set(names)) == 5
    assert name not in names
    scores = [match.similarity for match in report.matches]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    assert report.random_weights
    assert [path.name for path in report.files] == ["matches.csv", "matches.png"]
    with (tmp_path / "out/matches.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scene"] for row in rows] == names
    for match in report.matches:
        assert 0 < match.width <= 72
        assert match.left + match.width <= 72
        assert match.top + match.height <= 72


def test_an_image_of_the_archive_is_found(extracted, tmp_path):
    experiment = plan_experiment(extracted)
    scene = experiment.plan.scenes[5]
    pixels = SceneReader(experiment.dataset).picture(scene)
    Image.fromarray(pixels).save(tmp_path / "query.png")
    report = search(extracted, str(tmp_path / "query.png"), 3, tmp_path / "out")
    assert scene.id in [match.scene for match in report.matches]
    boxed = search(extracted, f"{tmp_path / 'query.png'}:4,6,64,60", 3, None)
    assert scene.id in [match.scene for match in boxed.matches]
    # The box of a scene needs the teacher too, and the scene itself is left out.
    part = search(extracted, f"{scene.id}:4,6,64,60", 3, None)
    assert scene.id not in [match.scene for match in part.matches]


def test_a_store_alone_is_searched_by_scene(extracted, tmp_path):
    experiment = plan_experiment(extracted)
    archive = open_config(experiment, extracted.teachers[0])
    [store] = extracted.runtime.cache_folder.glob("views-*/vit-*")
    name = experiment.plan.scenes[3].id
    report = search(store, name, 4, tmp_path / "out")
    expected = search(extracted, name, 4, None)
    assert [match.scene for match in report.matches] == [match.scene for match in expected.matches]
    assert [path.name for path in report.files] == ["matches.csv"]
    assert report.views == len(archive.table)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "q.png")
    with pytest.raises(ConfigError, match="needs the teacher"):
        search(store, str(tmp_path / "q.png"), 4, None)


def test_scenes_with_a_georeference_are_written_as_geojson(make_config, scenes, tmp_path):
    root = tmp_path / "geo"
    shutil.copytree(scenes, root)
    for number, path in enumerate(sorted((root / "images").iterdir())):
        bands = np.asarray(Image.open(path)).transpose(2, 0, 1)
        place = rasterio.Affine(0.5, 0, 400_000 + 1000 * number, 0, -0.5, 2_800_000)
        write_tiff(path.with_suffix(".tif"), bands, transform=place)
        path.unlink()
    manifest = yaml.safe_load((packaged / "synthetic.yaml").read_text())
    manifest["images"] = manifest["images"].replace(".png", ".tif")
    (root / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    config = make_config(
        f"data.root={root}", f"data.manifest={root / 'manifest.yaml'}", "runtime.extract_workers=1"
    )
    extract(config)
    plan = plan_experiment(config).plan
    report = search(config, plan.scenes[2].id, 3, tmp_path / "out")
    assert report.files[-1].name == "matches.geojson"
    features = json.loads(report.files[-1].read_text())["features"]
    assert [feature["properties"]["rank"] for feature in features] == [1, 2, 3]
    order = sorted(path.stem for path in (root / "images").iterdir())
    for feature, match in zip(features, report.matches, strict=True):
        [ring] = feature["geometry"]["coordinates"]
        east, north = transform("EPSG:4326", "EPSG:32640", *zip(*ring, strict=True))
        left = 400_000 + 1000 * order.index(match.image.split("/")[-1][:-4]) + match.left / 2
        assert min(east) == pytest.approx(left, abs=0.1)
        assert max(north) == pytest.approx(2_800_000 - match.top / 2, abs=0.1)
        assert max(east) - min(east) == pytest.approx(match.width / 2, abs=0.1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png", ("a.png", None)),
        ("a.png:1,2,3,4", ("a.png", Box(1, 2, 3, 4))),
        ("c:/a.png:1,2,3,4", ("c:/a.png", Box(1, 2, 3, 4))),
        ("a:1,2,3", ("a:1,2,3", None)),
        ("s@10,20", ("s@10,20", None)),
        ("s@10,20:1,2,3,4", ("s@10,20", Box(1, 2, 3, 4))),
    ],
)
def test_a_query_may_have_a_box(text, expected):
    assert parse_like(text) == expected


def test_errors_name_the_nearest_scene_and_the_size_of_the_image(extracted, tmp_path):
    scene = plan_experiment(extracted).plan.scenes[0].id
    with pytest.raises(MissingFileError, match="did you mean") as caught:
        search(extracted, f"{scene}x", 3, None)
    assert "IMAGE:x,y,w,h" in caught.value.remedy
    for box in ("0,0,73,10", "70,0,3,10", "0,0,0,5"):
        with pytest.raises(DataError, match="not inside the image of 72 x 72 px"):
            search(extracted, f"{scene}:{box}", 3, None)


@pytest.mark.parametrize("size", [10, 64, 65, 200, 3000])
@pytest.mark.parametrize("region", [(0, 1), (3, 9), (0, 64), (1, 200), (150, 200), (0, 3000)])
def test_windows_cover_a_region_within_the_image(region, size):
    start, stop = min(region[0], size - 1), min(region[1], size)
    starts = _starts(_Place(start, stop), size, 64)
    assert all(0 <= left <= max(0, size - 64) for left in starts)
    covered = {pixel for left in starts for pixel in range(left, left + 64)}
    assert covered >= set(range(start, stop))


def test_a_large_region_has_a_bounded_number_of_windows():
    assert len(list(_windows(Box(0, 0, 9000, 9000), 9000, 9000, 64))) == 64


def test_each_scene_has_its_best_view_and_empty_views_none():
    means = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [-1, 0], [5, 0]])
    scenes, counts = np.array([0, 0, 1, 2, 3]), np.array([1, 1, 1, 1, 0])
    query = Query("q", np.array([2.0, 0]), None)
    rows, cosines = nearest_views(query, scenes, means, counts, 9)
    assert rows == [1, 2, 3], "about the mean of the views with tokens, (0.225, 0.275)"
    assert cosines == sorted(cosines, reverse=True)
    assert nearest_views(Query("q", np.array([2.0, 0]), None, 0), scenes, means, counts, 1)[0] == [
        2
    ]
