"""Class ids of images whose labels are geometries, as the reader, the check and the list of scenes see them."""

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.files import mask_digests, open_shapes
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.images import open_image
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.shapes.mask import burn
from rsmtdf_core.scenes.window_settings import WindowSpec
from tests.rasters import CRS, TRANSFORM, ramp, write_tiff
from tests.vectors import write_vector

from .test_settings import shapes_manifest

HEIGHT, WIDTH = 16, 24
LAND, ROAD, ROOF, NONE = 0, 1, 2, 255


def box(left: float, top: float, right: float, bottom: float):
    """A rectangle in the pixels of the image, in its CRS."""
    a, _, c, _, e, f = TRANSFORM[:6]
    return shapely.box(c + a * left, f + e * bottom, c + a * right, f + e * top)


@pytest.fixture
def root(tmp_path):
    """A raster of 24 x 16 px."""
    (tmp_path / "images").mkdir()
    write_tiff(tmp_path / "images" / "a.tif", ramp(3, HEIGHT, WIDTH, np.uint8))
    return tmp_path


def ids_of(root, **encoding) -> np.ndarray:
    manifest = shapes_manifest(**({"field": "class"} | encoding))
    with open_image(root / "images" / "a.tif") as image:
        return open_shapes(manifest, root, "labels.gpkg", "images/a.tif", image.frame).class_ids()[
            0
        ]


def test_pixels_without_a_polygon_are_ignored_by_default(root):
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)], ["road"])
    expected = np.full((HEIGHT, WIDTH), NONE)
    expected[3:6, 2:5] = ROAD
    assert (ids_of(root) == expected).all()


def test_they_are_background_inside_the_annotated_area(root):
    path = write_vector(
        root / "labels.gpkg", [box(2, 3, 5, 6), box(20, 1, 24, 4)], ["road"] * 2, layer="x"
    )
    write_vector(path, [box(0, 0, 10, 10)], layer="area")
    expected = np.full((HEIGHT, WIDTH), NONE)
    expected[:10, :10] = LAND
    expected[3:6, 2:5] = ROAD
    assert (ids_of(root, background="land", annotated={"layer": "area"}) == expected).all()


def test_the_annotated_area_may_be_another_file_or_a_value(root):
    write_vector(root / "area.gpkg", [box(0, 0, 10, 10)])
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)], ["road"])
    by_file = ids_of(root, background="land", annotated={"file": "area.gpkg"})
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6), box(0, 0, 10, 10)], ["road", "done"])
    by_value = ids_of(root, background="land", annotated={"values": ["done"]})
    assert (by_file == by_value).all()
    assert (by_file == LAND).sum() == 91


def test_everywhere_is_background(root):
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)], ["road"])
    ids = ids_of(root, background="land", annotated="everywhere")
    assert np.unique(ids).tolist() == [LAND, ROAD]


def test_the_class_that_is_last_in_the_order_wins(root):
    boxes = [box(0, 0, 6, 6), box(3, 3, 9, 9), box(5, 5, 7, 7)]
    write_vector(root / "labels.gpkg", boxes, ["roof", "road", "?"])
    assert ids_of(root, ignore=["?"])[4, 4] == ROOF
    assert ids_of(root, ignore=["?"], order=["roof", "road"])[4, 4] == ROAD
    assert ids_of(root, ignore=["?"])[5, 5] == NONE


def test_features_without_a_field_have_the_only_class(root):
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)])
    ids = ids_of(
        root, field=None, names=("land", "roof"), background="land", annotated="everywhere"
    )
    assert (ids == 1).sum() == 9


def test_all_touched_labels_more_pixels(root):
    write_vector(root / "labels.gpkg", [box(2.6, 3.6, 4.4, 5.4)], ["road"])
    assert (ids_of(root) == ROAD).sum() == 1
    assert (ids_of(root, all_touched=True) == ROAD).sum() == 9


def test_lines_and_points_need_a_buffer(root):
    line = shapely.LineString([box(0, 4, 0, 4).centroid, box(24, 4, 24, 4).centroid])
    write_vector(root / "labels.gpkg", [line, box(0, 8, 2, 9)], ["road", "roof"])
    with pytest.raises(DataError, match="1 of 2 shapes are lines or points"):
        ids_of(root)
    rows = np.flatnonzero((ids_of(root, buffer=1) == ROAD).all(axis=1))  # pixels of half a meter
    assert rows.tolist() == [2, 3, 4, 5]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_windows_are_cut_from_one_drawing(seed, side):
    rings = np.random.default_rng(seed).uniform(-5, 30, (4, 5, 2))
    shapes = np.array([shapely.make_valid(shapely.Polygon(ring)) for ring in rings], object)
    ids = np.arange(4, dtype=np.uint8)
    whole = burn(shapes, ids, (0, 0, HEIGHT, WIDTH), NONE, all_touched=False)
    for top, left in itertools.product(range(0, HEIGHT - side, side), range(0, WIDTH - side, side)):
        part = burn(shapes, ids, (top, left, side, side), NONE, all_touched=False)
        assert (part == whole[top : top + side, left : left + side]).all()


def test_windows_without_labels_are_unlabeled_and_others_read_as_drawn(root):
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)], ["road"])
    window = WindowSpec(size=8, stride=8)
    manifest = shapes_manifest(field="class").model_copy(update={"window": window})
    dataset = find_scenes(manifest, root)
    scenes = dataset.splits["train"]
    assert [scene.id for scene in scenes if scene.mask] == ["a@0,0"]
    assert len(scenes) == 6
    mask = SceneReader(dataset).mask(scenes[0])
    assert (mask == ROAD).sum() == 9
    assert (mask == NONE).sum() == 55
    result = check_dataset(manifest, root)
    assert result.problems == ()
    assert (result.splits[0].scenes, result.splits[0].labeled) == (6, 1)
    assert (result.splits[0].pixels["road"], result.splits[0].ignored) == (9, 55)
    assert result.splits[0].unlabeled == ()


def test_images_share_a_file_in_another_crs(root):
    east = TRANSFORM.translation(100, 0) @ TRANSFORM
    write_tiff(root / "images" / "b.tif", ramp(3, HEIGHT, WIDTH, np.uint8), transform=east)
    write_tiff(
        root / "images" / "c.tif",
        ramp(3, HEIGHT, WIDTH, np.uint8),
        transform=TRANSFORM.translation(0, 900) @ TRANSFORM,
    )
    boxes = [box(2, 3, 5, 6), box(202, 3, 206, 6)]
    corners = [np.array(shape.exterior.coords) for shape in boxes]
    degrees = [
        shapely.Polygon(np.column_stack(transform(CRS, "EPSG:4326", *xy.T))) for xy in corners
    ]
    write_vector(root / "labels.geojson", degrees, ["road", "roof"], "EPSG:4326")
    dataset = find_scenes(shapes_manifest("labels.geojson", field="class"), root)
    first, second, third = dataset.splits["train"]
    reader = SceneReader(dataset)
    assert (reader.mask(first) == ROAD).sum() == 9
    assert (reader.mask(second) == ROOF).sum() == 12
    assert (reader.mask(first) == ROAD).sum() == 9  # from the cache
    assert third.mask is None


def test_labels_that_meet_no_image_are_refused(root):
    write_vector(root / "labels.gpkg", [box(900, 3, 950, 6)], ["road"])
    manifest = shapes_manifest(field="class")
    with pytest.raises(DataError, match="the labels meet none of their images"):
        find_scenes(manifest, root)
    [problem] = check_dataset(manifest, root).problems
    assert problem.what.startswith("the labels meet none of their images")


def test_an_annotated_image_without_shapes_is_background(root):
    path = write_vector(root / "labels.gpkg", [box(900, 3, 950, 6)], ["road"], layer="x")
    write_vector(path, [box(0, 0, 10, 10)], layer="area")
    manifest = shapes_manifest(field="class", background="land", annotated={"layer": "area"})
    dataset = find_scenes(manifest, root)
    assert (SceneReader(dataset).mask(dataset.splits["train"][0]) == LAND).sum() == 100


def test_the_check_reports_overlaps_repairs_and_values(root):
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    bow = shapely.transform(bow, lambda xy: xy + np.array([TRANSFORM.c, TRANSFORM.f - 6]))
    write_vector(
        root / "labels.gpkg", [box(0, 0, 6, 6), box(4, 4, 8, 8), bow], ["road", "roof", "roof"]
    )
    notes = check_dataset(shapes_manifest(field="class"), root).notes
    assert any("invalid feature repaired" in note for note in notes)
    assert any(
        "shapes of different classes: the last of land, road, roof wins" in note for note in notes
    )
    write_vector(root / "labels.gpkg", [box(0, 0, 6, 6)], ["tree"])
    [problem] = check_dataset(shapes_manifest(field="class"), root).problems
    assert problem.what == "no class has these values of the field 'class': 'tree' (1)"


def test_digests_follow_the_labels_and_the_place_of_the_image(root):
    manifest = shapes_manifest(field="class")

    def digests():
        return tuple(mask_digests(manifest, root, "labels.gpkg", "images/a.tif"))

    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)], ["road"])
    first = digests()
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 7)], ["road"])
    second = digests()
    write_tiff(root / "images" / "a.tif", ramp(3, HEIGHT, WIDTH, np.uint8), crs="EPSG:32641")
    assert len({first, second, digests()}) == 3


def test_images_without_a_georeference_are_refused(root):
    write_vector(root / "labels.gpkg", [box(2, 3, 5, 6)], ["road"])
    write_tiff(root / "images" / "a.tif", ramp(3, HEIGHT, WIDTH, np.uint8), crs=None)
    with pytest.raises(DataError, match="the image has no coordinate reference system") as error:
        find_scenes(shapes_manifest(field="class"), root)
    assert error.value.where == str(root / "images" / "a.tif")
