"""Manifests proposed for rasters with labels that are drawn as geometries."""

from collections import Counter

import numpy as np
import pytest
import shapely

from pipeline.data.init import NamedClass, ShapeChoice, checked_draft, draft, look
from pipeline.data.init.windows import window_of
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.shapes.settings import AnnotatedArea
from tests.rasters import TRANSFORM, ramp, write_tiff
from tests.vectors import write_vector


def box(left: float, top: float, right: float, bottom: float):
    a, _, c, _, e, f = TRANSFORM[:6]
    return shapely.box(c + a * left, f + e * bottom, c + a * right, f + e * top)


@pytest.fixture
def root(tmp_path):
    """A raster of 40 x 30 px with a road and a roof."""
    (tmp_path / "images").mkdir()
    write_tiff(tmp_path / "images" / "a.tif", ramp(3, 30, 40, np.uint8))
    shapes = [box(2, 2, 9, 5), box(20, 10, 30, 20)]
    write_vector(tmp_path / "labels.gpkg", shapes, ["road", "roof"], layer="labels")
    return tmp_path


def proposed(root, classes=None, **choice):
    looked = look(root, shapes=ShapeChoice(**choice))
    return checked_draft(draft(looked, root / "manifest.yaml", classes))[0].manifest


def test_the_only_vector_file_has_the_labels(root):
    manifest = proposed(root)
    assert manifest.masks == "labels.gpkg"
    assert manifest.mask_encoding.field == "class"
    assert manifest.class_names == ("road", "roof")
    assert manifest.mask_encoding.annotated is None


def test_a_layer_named_annotated_holds_the_background(root):
    write_vector(root / "labels.gpkg", [box(0, 0, 20, 20)], layer="annotated")
    manifest = proposed(root)
    assert manifest.class_names == ("background", "road", "roof")
    assert manifest.mask_encoding.annotated == AnnotatedArea(layer="annotated")
    assert manifest.mask_encoding.layer == "labels"


def test_choices_replace_guesses(root):
    named = [NamedClass(name) for name in ("land", "road", "roof")]
    manifest = proposed(root, named, background="land", all_touched=True, buffer=2.0)
    encoding = manifest.mask_encoding
    assert (encoding.background, encoding.annotated) == ("land", "everywhere")
    assert (encoding.all_touched, encoding.buffer) == (True, 2.0)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"field": "kind"}, "no field 'kind'"),
        ({"annotated": "nowhere"}, "'nowhere' is neither everywhere nor a layer"),
        ({"labels": "other.gpkg"}, "labels are missing"),
    ],
)
def test_wrong_choices_are_refused(root, choice, message):
    with pytest.raises((DataError, FileNotFoundError), match=message):
        look(root, shapes=ShapeChoice(**choice))


def test_several_vector_files_need_a_choice(root):
    write_vector(root / "other.gpkg", [box(0, 0, 1, 1)], ["road"])
    with pytest.raises(DataError, match=r"2 files with shapes: labels\.gpkg, other\.gpkg"):
        look(root)
    assert proposed(root, labels="labels.gpkg").masks == "labels.gpkg"


def test_few_large_rasters_are_cut_into_windows():
    assert window_of(Counter({(40, 30): 1})) is None
    assert window_of(Counter({(300, 400): 7})) is None
    assert window_of(Counter({(300, 400): 1})).size == 64
    assert window_of(Counter({(20_000, 9_000): 2})).size == 512
