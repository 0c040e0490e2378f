import pytest
from pydantic import ValidationError

from rsmtdf_core.student.settings import FusionSettings, StudentSettings


def test_a_second_pass_is_overruled_by_the_pyramid_alone():
    assert not StudentSettings().overruled
    assert list(StudentSettings(translator_input="pyramid").overruled) == ["second_encoding"]


def test_the_input_of_translators_is_stored_where_it_differs():
    # Addresses and config.json of runs that were made before the key existed stay as they were.
    assert "translator_input" not in StudentSettings().model_dump()
    stored = StudentSettings(translator_input="pyramid").model_dump(mode="json")
    assert StudentSettings.model_validate(stored).translator_input == "pyramid"


@pytest.mark.parametrize("mode", [False, "off"])
def test_fusion_is_off_by_a_bare_word_of_yaml(mode):
    assert FusionSettings.model_validate({"mode": mode}).mode == "off"


@pytest.mark.parametrize(
    "settings",
    [
        {"translator_input": "first"},
        {"taps": [1, 2, 3]},
        {"fusion": {"student_weight": 1.5}},
        {"fusion": {"mode": True}},
        {"encodr": "resnet18"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_other_values_are_refused(settings):
    with pytest.raises(ValidationError):
        StudentSettings.model_validate(settings)
