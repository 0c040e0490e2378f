"""Every key of a config is explained from its settings class."""

import pytest

from pipeline.explain import all_keys, explain
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import EXPLANATIONS, Role


@pytest.mark.parametrize("key", sorted(set(all_keys())))
def test_every_key_has_a_description_and_a_key_that_is_no_group_a_type_and_a_role(key):
    meanings = explain(key)
    assert meanings
    for meaning in meanings:
        assert meaning.key == key
        assert meaning.description
        assert (meaning.role is None) == bool(meaning.keys)
        assert (meaning.role is None) != bool(meaning.type)
        assert (meaning.role is None) != bool(meaning.default)


def test_every_role_is_explained():
    assert EXPLANATIONS.keys() == set(Role)


def test_a_value_is_described_with_its_bounds_and_its_default():
    (meaning,) = explain("optimiser.batch")
    assert meaning.type == "integer, >= 2, <= 65,536, multiple of 2"
    assert (meaning.default, meaning.role) == ("8", Role.RESULT)
    assert meaning.description.startswith("labeled crops per process and step")
    (meaning,) = explain("views.labeled_views")
    assert meaning.type == "integer >= 1 and <= 65,535 or fresh"
    (meaning,) = explain("runtime.check")
    assert (meaning.type, meaning.default) == ("always or first or never", "first")
    (meaning,) = explain("data.root")
    assert (meaning.type, meaning.default) == ("path", "none, the key is required")


def test_items_of_a_list_are_named_as_overrides_name_them():
    assert [key.description for key in explain("teachers.dino.block")] == [
        key.description for key in explain("teachers.0.block")
    ]


def test_an_unknown_key_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"did you mean 'optimiser\.lr'"):
        explain("optimiser.lrr")
