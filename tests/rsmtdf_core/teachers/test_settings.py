import pytest
from pydantic import ValidationError

from rsmtdf_core.kinds import FAMILIES
from rsmtdf_core.teachers.settings import TeacherSettings

LEAST = {"name": "dino", "family": "timm", "model": "test_vit.r160_in1k"}


def test_defaults_are_the_models_statistics_in_fp32():
    settings = TeacherSettings(**LEAST)
    assert (settings.bands, settings.mean, settings.std) == (None, None, None)
    assert settings.seen_bands == (1, 2, 3)
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
        ("mean", (0.5, 0.5)),
        ("bands", (1, 2, 3, 4)),  # without a mean and std for each
        ("bands", (0, 1, 2)),
        ("bands", ()),
    ],
)
def test_wrong_values_are_refused_by_name(key: str, value: object):
    with pytest.raises(ValidationError, match=key):
        TeacherSettings(**{**LEAST, key: value})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_teacher_made_without_its_family_s_class_has_the_defaults_of_it(family: str):
    values = {**LEAST, "family": family, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    dumped = TeacherSettings(**values).model_dump()
    of_family = FAMILIES[family].settings(**values).model_dump()
    assert dumped == {key: of_family[key] for key in dumped}
    assert dumped["final_norm"] == (family != "open_clip")


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(ValidationError, match="known are timm, open_clip, olmoearth"):
        TeacherSettings(**{**LEAST, "family": "sam"})
