"""How scenes are predicted: checked, and described in words with everything that changes a score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.roles import Role, role_of

SETTINGS = st.builds(
    InferenceSettings,
    mode=st.just("slide"),
    blend=st.sampled_from(["uniform", "hann"]),
    window=st.integers(1, 999),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
    batch=st.integers(1, 9),
    scales=st.sampled_from([(1.0,), (0.5, 1.0), (1.0, 0.5), (2.0,)]),
    flips=st.sampled_from([(), ("horizontal",), ("horizontal", "vertical")]),
)


@given(SETTINGS, SETTINGS)
def test_two_descriptions_are_alike_only_if_all_but_the_batch_is(first, second):
    alike = first.model_copy(update={"batch": 1}) == second.model_copy(update={"batch": 1})
    assert (first.describe() == second.describe()) == alike


def test_whole_scenes_have_no_window_to_describe():
    assert InferenceSettings().describe() == "whole"
    assert InferenceSettings(window=64, overlap=0, blend="hann").describe() == "whole"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scales": ()}, "at least one"),
        ({"scales": (1.0, 0.5, 1.0)}, "once"),
        ({"flips": ("vertical", "vertical")}, "once"),
        ({"overlap": 1.0}, "overlap"),
        ({"window": 0}, "window"),
        ({"scales": (0.0,)}, "scales"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_key(values, message):
    with pytest.raises(ValidationError, match=message):
        InferenceSettings(**values)


def test_only_the_batch_may_change_without_another_score():
    roles = {name: role_of(field) for name, field in InferenceSettings.model_fields.items()}
    assert {name for name, role in roles.items() if role == Role.SPEED} == {"batch"}
    assert set(roles.values()) == {Role.SPEED, Role.SCORING}
