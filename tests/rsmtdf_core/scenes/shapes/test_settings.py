"""Keys of masks that are drawn as geometries."""

import pytest
from pydantic import ValidationError

from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.shapes.settings import ShapeMasks


def shapes_manifest(masks="labels.gpkg", names=("land", "road", "roof"), **encoding) -> Manifest:
    colors = (f"#00000{number}" for number in range(1, 9))
    values = {
        "name": "shapes",
        "title": "Shapes",
        "classes": [
            {"name": name, "color": color} for name, color in zip(names, colors, strict=False)
        ],
        "images": "images/{name}.tif",
        "masks": masks,
        "mask_encoding": {"encoding": "shapes"} | encoding,
        "splits": {"train": {}},
    }
    return Manifest.model_validate(values)


def test_numbers_in_yaml_are_values_of_an_attribute():
    encoding = ShapeMasks.model_validate(
        {"encoding": "shapes", "field": "id", "values": {1: "road"}, "ignore": [0, ""]}
    )
    assert encoding.values == {"1": "road"}
    assert encoding.ignore == ("0", "")


def test_classes_outside_the_order_are_below_it():
    encoding = ShapeMasks(encoding="shapes", field="class", order=("roof", "road"))
    assert encoding.ranks(("road", "roof", "tree")) == {"tree": 0, "roof": 1, "road": 2}


def test_images_may_share_labels():
    assert shapes_manifest("labels.gpkg", field="class").mask_fields == ()
    assert shapes_manifest("labels/{name}.shp", field="class").mask_fields == ("name",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field": "class", "background": "land"}, "background needs annotated"),
        ({"field": "class", "background": "lnd", "annotated": "everywhere"}, "did you mean 'land'"),
        ({"field": "class", "values": {"1": "rod"}}, "mask_encoding.values names no class: 'rod'"),
        ({"field": "class", "order": ["rod"]}, "mask_encoding.order names no class"),
        ({"ignore": ["?"]}, "need field"),
        ({}, "has no field, so one class except background is expected, found land, road, roof"),
        ({"field": "class", "annotated": {}}, "either layer and file, or values"),
        ({"field": "class", "masks": "{other}.gpkg"}, "same fields"),
        ({"field": "class", "masks": "../a.gpkg"}, "relative to the data root"),
        (
            {"field": "class", "annotated": {"file": "{name}.shp"}},
            "'name' is not a field of the masks",
        ),
        ({"field": "class", "buffer": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        shapes_manifest(**changes)
