"""A group of keys is read as the settings of the part that it names."""

from typing import Annotated, Literal, NamedTuple

import pytest
from pydantic import Field, ValidationError

from rsmtdf_core.choices import OneOf, default_values, fields_at, groups_of
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import ConfigSettings, OfCodec, Result, Role, deciding
from rsmtdf_core.validation import validate


class Part(ConfigSettings):
    name: OfCodec[str]


class Plain(Part):
    name: OfCodec[Literal["plain"]]


class Fine(Part):
    name: OfCodec[Literal["fine"]]
    grain: OfCodec[int] = Field(default=3, gt=0)


class Coarse(Part):
    name: OfCodec[Literal["coarse"]]
    grain: OfCodec[int] = Field(default=90, ge=50)
    shape: Result[Literal["round", "square"]] = "round"


class Row(NamedTuple):
    settings: type[Part]


KINDS = {"plain": Row(Plain), "fine": Row(Fine), "coarse": Row(Coarse)}
CHOICE, STRICT = OneOf(KINDS, "name", "fine"), OneOf(KINDS, "name")


class Outer(ConfigSettings):
    part: Annotated[Part, CHOICE] = Field(default_factory=CHOICE.make)
    items: tuple[Annotated[Part, STRICT], ...] = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", Plain(name="plain")),
        ({}, Fine(name="fine")),
        ({"grain": 7}, Fine(name="fine", grain=7)),
        ({"name": "coarse", "shape": "square"}, Coarse(name="coarse", shape="square")),
        (Coarse(name="coarse", grain=60), Coarse(name="coarse", grain=60)),
        # Keys of other parts are left out.
        ({"name": "plain", "grain": 7, "shape": "round"}, Plain(name="plain")),
        ({"name": "fine", "shape": "square"}, Fine(name="fine")),
    ],
)
def test_a_name_or_a_group_becomes_the_settings_of_the_part(value, expected):
    outer = Outer.model_validate({"part": value, "items": [expected]})
    assert outer.part == outer.items[0] == expected
    assert type(outer.part) is type(expected)
    dumped = outer.model_dump(mode="json")
    assert dumped["part"] == expected.model_dump(mode="json")
    assert Outer.model_validate(dumped) == outer


def test_the_default_is_made_when_a_config_leaves_the_group_out():
    assert Outer().part == Fine(name="fine")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"part": "plane"}, "part.name: expected one of plain, fine, coarse, found 'plane'"),
        ({"part": {"name": ["fine"]}}, "part.name: expected one of plain, fine, coarse, found"),
        ({"part": 7}, "part: expected a mapping, found 7"),
        ({"part": {"grain": 0}}, "part.grain: expected greater than 0, found 0"),
        ({"part": {"grian": 4}}, "unknown key 'part.grian', did you mean 'grain'?"),
        ({"items": [{"grain": 4}]}, "items.0.name: the key is missing"),
        ({"items": ["fine", {"name": "fine", "grain": "x"}]}, "items.1.grain: expected an integer"),
        # A key of other parts may be left out, and is wrong if it fits none of them.
        ({"part": {"name": "plain", "grain": 0}}, "part.grain: expected greater than 0, found 0"),
        ({"part": {"name": "plain", "shape": "flat"}}, "part.shape: expected 'round' or 'square'"),
    ],
)
def test_errors_have_the_key_that_the_user_wrote(value, message):
    with pytest.raises(ConfigError) as refusal:
        validate(Outer, value, "here")
    assert message in refusal.value.what
    assert "\n" not in refusal.value.what


def test_a_part_that_is_added_later_is_read_too():
    kinds = dict(KINDS)
    choice = OneOf(kinds, "name")

    class Late(ConfigSettings):
        part: Annotated[Part, choice]

    with pytest.raises(ValidationError):
        Late(part="later")

    class Later(Part):
        name: OfCodec[Literal["later"]]

    kinds["later"] = Row(Later)
    assert Late(part="later").part == Later(name="later")


def test_fields_roles_and_defaults_are_those_of_every_part():
    assert groups_of(Outer.model_fields["part"]) == (Plain, Fine, Coarse)
    assert [group for group, _, _ in fields_at(Outer, "part.grain")] == [Fine, Coarse]
    assert [group for group, _, _ in fields_at(Outer, "items.0.shape")] == [Coarse]
    assert dict(default_values(Outer)) == {
        **{f"{key}.grain": 90 for key in ("part", "items")},
        **{f"{key}.shape": "round" for key in ("part", "items")},
    }
    outer = Outer(part="coarse", items=("plain",))
    assert deciding(outer, Role.CODEC) == {
        "part": {"name": "coarse", "grain": 90},
        "items": [{"name": "plain"}],
    }
