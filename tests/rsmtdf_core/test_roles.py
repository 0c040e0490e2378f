"""Every field of a config states its role, and everything that depends on fields is derived from the roles."""

import pytest
from pydantic import Field

from rsmtdf_core.choices import fields_at
from rsmtdf_core.roles import (
    ConfigSettings,
    Place,
    Result,
    Role,
    Speed,
    Views,
    deciding,
    flat,
    role_of,
    unheeded,
)


class Inner(ConfigSettings):
    angle: Views[float] = Field(default=0.5, ge=0)
    threads: Speed[int] = 1


class Hidden(ConfigSettings):
    key: Result[int] = Field(default=1, exclude_if=lambda value: value == 1)


class Outer(ConfigSettings):
    name: Place[str]
    rate: Result[float | None] = Field(default=None, gt=0)
    inner: Inner = Inner()
    items: tuple[Inner, ...] = ()
    hidden: Hidden = Hidden()


def test_a_field_without_a_role_is_refused_when_its_class_is_made():
    with pytest.raises(TypeError, match=r"Wrong\.second does not declare its role"):

        class Wrong(ConfigSettings):
            first: Result[int] = 1
            second: int = 2

    with pytest.raises(TypeError, match=r"Nested\.third"):

        class Nested(Inner):
            third: tuple[int, ...] = ()


def test_a_class_cannot_change_the_role_of_a_field_that_it_inherits():
    class Same(Inner):
        angle: Views[float] = 0.75

    assert Same().angle == 0.75
    with pytest.raises(
        TypeError, match=r"Other\.angle decides views in Inner, and cannot decide speed"
    ):

        class Other(Inner):
            angle: Speed[float] = 0.75


def test_bounds_hold_next_to_a_role():
    with pytest.raises(ValueError, match="greater than 0"):
        Outer(name="a", rate=0)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Inner(angle=-1)


def test_the_fields_of_some_roles_are_taken_from_every_group():
    outer = Outer(name="a", items=(Inner(threads=3), Inner(angle=0.25)))
    assert deciding(outer, Role.PLACE) == {"name": "a"}
    assert deciding(outer, Role.VIEWS) == {
        "inner": {"angle": 0.5},
        "items": [{"angle": 0.5}, {"angle": 0.25}],
    }
    assert deciding(outer, Role.RESULT, Role.PLACE) == {"name": "a", "rate": None}
    assert deciding(outer, Role.TEACHER) == {}


@pytest.mark.parametrize(("value", "expected"), [(1, {}), (2, {"key": 2})])
def test_a_field_that_leaves_itself_out_at_its_default_is_left_out(value, expected):
    assert deciding(Hidden(key=value), Role.RESULT) == expected


def test_all_roles_together_are_the_whole_config():
    outer = Outer(name="a", items=(Inner(),), hidden=Hidden(key=4))
    assert deciding(outer, *Role) == outer.model_dump(mode="json")


@pytest.mark.parametrize(
    ("key", "roles"),
    [
        ("name", [Role.PLACE]),
        ("inner", [None]),
        ("inner.threads", [Role.SPEED]),
        ("items.0.angle", [Role.VIEWS]),
        ("items.first.threads", [Role.SPEED]),
        ("items.angle", [Role.VIEWS]),
        ("inner.first.threads", []),
        ("inner.thread", []),
        ("items.0.angle.more", []),
        ("", []),
    ],
)
def test_fields_are_found_by_their_dotted_key(key, roles):
    assert [role_of(field) for _, _, field in fields_at(Outer, key)] == roles


def test_nested_values_become_dotted_keys():
    assert dict(flat({"a": {"b": 1, "c": {"d": [2]}}, "e": {}})) == {"a.b": 1, "a.c.d": [2]}


class Switched(ConfigSettings):
    on: Result[bool] = False
    rate: Result[float] = 1.0

    @property
    def overruled(self) -> dict[str, str]:
        return {} if self.on else {"rate": "with on: false"}


class Holder(ConfigSettings):
    switched: Switched = Switched()
    name: Place[str] = ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"switched": {"on": False}}, []),
        ({"switched": {"rate": 2.0}}, ["switched.rate has no effect with on: false"]),
        ({"switched": {"rate": 1.0}}, ["switched.rate has no effect with on: false"]),
        ({"switched": {"rate": 2.0, "on": True}}, []),
        # The config of a run has every key.
        ({"switched": {"rate": 1.0, "on": False}}, []),
        ({"switched": {"rate": 2.0, "on": False}}, ["switched.rate has no effect with on: false"]),
    ],
)
def test_chosen_keys_without_effect_are_described(values, expected):
    assert list(unheeded(Holder.model_validate(values))) == expected
