import pytest
from pydantic import ValidationError

from rsmtdf_core.kinds import FAMILIES
from rsmtdf_core.teachers.settings import TeacherSettings

LEAST = {"name": "dino", "family": "timm", "model": "test_vit.r160_in1k"}


def test_defaults_are_imagenet_in_fp32():
    settings = TeacherSettings(**LEAST)
    assert settings.mean == (0.485, 0.456, 0.406)
    assert settings.std == (0.229, 0.224, 0.225)
    assert (settings.weights, settings.precision, settings.block) == ("hub", "fp32", -1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Dino v2"),
        ("family", "tim"),
        ("weights", ""),
        ("weights_sha256", "305991c6"),
        ("input_size", 0),
        ("std", (0.5, 0.0, 0.5)),
        ("precision", "tf32"),
        ("blok", 3),
    ],
)
def test_wrong_values_are_refused_by_name(key: str, value: object):
    with pytest.raises(ValidationError, match=key):
        TeacherSettings(**{**LEAST, key: value})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_teacher_made_without_its_family_s_class_has_the_defaults_of_it(family: str):
    values = {**LEAST, "family": family}
    dumped = TeacherSettings(**values).model_dump()
    assert dumped == FAMILIES[family].settings(**values).model_dump()
    assert dumped["final_norm"] == (family != "open_clip")


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(ValidationError, match="known are timm, open_clip"):
        TeacherSettings(**{**LEAST, "family": "sam"})
