"""Features of GeoPackage, Shapefile and GeoJSON files."""

import json
from collections import Counter

import pytest
import shapely

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.shapes.features import require_known
from rsmtdf_core.scenes.shapes.vector import described, read_layer, stamp
from tests.vectors import write_vector

BOXES = [shapely.box(0, 0, 4, 4), shapely.box(2, 2, 6, 6)]
BOW_TIE = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])


def read(path, **how):
    values = {"layer": None, "field": "class", "crs": None} | how
    return read_layer(path, **values)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson"])
def test_each_format_has_the_same_features(tmp_path, suffix):
    crs = "EPSG:4326" if suffix == ".geojson" else "EPSG:32640"
    layer = read(write_vector(tmp_path / f"a{suffix}", BOXES, ["road", None], crs))
    assert layer.values.tolist() == ["road", ""]
    assert shapely.equals(layer.geometries, BOXES).all()
    assert layer.crs.to_epsg() == int(crs.partition(":")[2])


def test_the_content_decides_the_format(tmp_path):
    path = write_vector(tmp_path / "a.gpkg", BOXES, ["road", "tree"])
    assert len(read(path.rename(tmp_path / "a.shp")).geometries) == 2


@pytest.mark.parametrize(("values", "texts"), [([1, 2], ["1", "2"]), ([1.0, 2.5], ["1", "2.5"])])
def test_values_are_texts(tmp_path, values, texts):
    assert read(write_vector(tmp_path / "a.gpkg", BOXES, values)).values.tolist() == texts


def test_parts_of_collections_keep_the_value(tmp_path):
    both = shapely.GeometryCollection([shapely.MultiPolygon(BOXES[:1]), shapely.Point(1, 1)])
    layer = read(write_vector(tmp_path / "a.gpkg", [both, BOXES[1]], ["a", "b"]))
    assert layer.values.tolist() == ["a", "a", "b"]
    assert [note.sentence() for note in described(layer)] == [
        "mixed geometries: 2 polygons, 1 point"
    ]


def test_invalid_and_empty_geometries_are_reported(tmp_path):
    layer = read(write_vector(tmp_path / "a.gpkg", [BOW_TIE, None, BOXES[0]], list("abc")))
    assert shapely.area(layer.geometries).sum() == pytest.approx(8 + 16)
    assert shapely.is_valid(layer.geometries).all()
    empty, repaired = (note.sentence() for note in layer.notes)
    assert empty == "no geometry in 1 feature, such as feature 2"
    assert repaired.startswith("1 invalid feature repaired, such as feature 1 (Self-intersection")


def test_an_open_ring_is_repaired(tmp_path):
    ring = [[0, 0], [1, 0], [0, 1]]
    features = [
        {
            "type": "Feature",
            "properties": {"class": "a"},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
    ]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert shapely.area(read(path).geometries).tolist() == [0.5]


def test_a_folder_is_one_layer(tmp_path):
    for name, crs in (("a", "EPSG:32640"), ("b", "EPSG:32640")):
        write_vector(tmp_path / f"{name}.gpkg", BOXES, [name, name], crs)
    assert read(tmp_path).values.tolist() == ["a", "a", "b", "b"]
    write_vector(tmp_path / "c.gpkg", BOXES, ["c", "c"], "EPSG:32641")
    with pytest.raises(DataError, match="different coordinate reference systems"):
        read(tmp_path)


def test_the_digest_depends_on_features_alone(tmp_path):
    first = write_vector(tmp_path / "a.gpkg", BOXES, ["x", "y"])
    moved = [BOXES[0], shapely.box(2, 2, 6, 7)]
    same = read(write_vector(tmp_path / "b.gpkg", BOXES, ["x", "y"], layer="other")).digest
    assert read(first).digest == same
    others = [
        read(write_vector(tmp_path / "c.gpkg", moved, ["x", "y"])).digest,
        read(write_vector(tmp_path / "d.gpkg", BOXES, ["x", "z"])).digest,
        read(write_vector(tmp_path / "e.gpkg", BOXES, ["x", "y"], "EPSG:32641")).digest,
    ]
    assert len({same, *others}) == 4


def test_a_stamp_notices_the_files_beside_a_shapefile(tmp_path):
    path = write_vector(tmp_path / "a.shp", BOXES, ["x", "y"])
    before = stamp(path)
    (tmp_path / "a.prj").unlink()
    assert stamp(path) != before


def test_labels_without_a_crs_are_refused_unless_the_manifest_names_one(tmp_path):
    path = write_vector(tmp_path / "a.shp", BOXES, ["x", "y"])
    (tmp_path / "a.prj").unlink()
    with pytest.raises(DataError, match="no coordinate reference system"):
        read(path)
    assert read(path, crs="EPSG:32640").crs.to_epsg() == 32640
    with pytest.raises(DataError, match="'here' is no coordinate reference system"):
        read(path, crs="here")


def test_meters_in_a_geojson_without_crs_are_refused(tmp_path):
    path = write_vector(
        tmp_path / "a.geojson", [shapely.box(4e5, 28e5, 5e5, 29e5)], ["x"], "EPSG:4326"
    )
    with pytest.raises(DataError, match="no degrees of EPSG:4326"):
        read(path)


def test_several_layers_need_a_name(tmp_path):
    path = write_vector(tmp_path / "a.gpkg", BOXES, ["x", "y"], layer="labels")
    write_vector(path, BOXES[:1], layer="area")
    with pytest.raises(DataError, match="expected one layer with geometries, found labels, area"):
        read(path)
    assert len(read(path, layer="labels").values) == 2
    assert len(read(path, without="area").values) == 2
    with pytest.raises(DataError, match="no layer 'roads'"):
        read(path, layer="roads")


def test_an_unknown_field_is_refused_with_those_of_the_file(tmp_path):
    path = write_vector(tmp_path / "a.gpkg", BOXES, ["x", "y"])
    with pytest.raises(DataError, match="no field 'kind', their fields are class"):
        read(path, field="kind")


def test_values_of_no_class_are_refused(tmp_path):
    layer = read(write_vector(tmp_path / "a.gpkg", BOXES, ["road", None]))
    counts = Counter(layer.values.tolist())
    require_known(counts, ["road", ""], tmp_path, "values of the field 'class'")
    with pytest.raises(DataError, match=r"field 'class': no value \(1\)"):
        require_known(counts, ["road"], tmp_path, "values of the field 'class'")


@pytest.mark.parametrize(
    "content", [b"", b"id,wkt\n1,POINT (1 1)\n", b"<OGRVRTDataSource/>", b"{]", b'{"a": 1}']
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.gpkg"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(path)
    assert error.value.where == str(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="the labels are missing"):
        read(tmp_path / "a.gpkg")
