"""The formats of annotation tools."""

from typing import get_args

import pytest
from pydantic import ValidationError

from rsmtdf_core.scenes.files import mask_digests
from rsmtdf_core.scenes.shapes.formats import FORMATS
from rsmtdf_core.scenes.shapes.settings import AnnotationMasks
from tests.annotations import annotated_manifest, coco, ring, write_image, write_json


def test_manifests_can_name_each_format():
    assert set(get_args(AnnotationMasks.model_fields["encoding"].annotation)) == set(FORMATS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"background": "land"}, "background needs annotated, the images"),
        ({"annotated": {"layer": "area"}}, "coco files have no layers"),
        ({"field": "class"}, "Extra inputs"),
        ({"values": {"1": "rod"}}, "mask_encoding.values names no class: 'rod'"),
        ({"encoding": "labelme"}, "same fields"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        annotated_manifest(**changes)


def test_digests_follow_the_labels_of_the_image_alone(tmp_path):
    for name in "ab":
        write_image(tmp_path / "images" / f"{name}.png")

    def digests(*shapes):
        path = tmp_path / "labels.json"
        write_json(path, coco(["a.png", "b.png"], [{"image_id": 2}, *shapes]))
        return mask_digests(annotated_manifest(), tmp_path, "labels.json", "images/a.png")

    first = digests({"segmentation": [ring(0, 0, 3, 3)]})
    assert digests({"segmentation": [ring(0, 0, 3, 3)]}, {"image_id": 2}) == first
    assert digests({"segmentation": [ring(0, 0, 3, 4)]}) != first
    assert digests() != first
