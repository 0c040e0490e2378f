"""Roles of config fields. Each field declares in its type which part of an experiment it affects.

    lr: Result[float] = 5e-6

Store addresses, the keys that may change on resume, groups of comparable runs, overrides of `evaluate` and the facts in
predictions are derived from these roles. So there is no separate list of keys that could miss a field.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import reduce
from typing import Annotated, Any, TypeVar, get_args

from pydantic.fields import FieldInfo

from rsmtdf_core.settings import Settings


class Role(StrEnum):
    """The part of an experiment that a field affects."""

    VIEWS = "views"
    TEACHER = "teacher"
    CODEC = "codec"
    RESULT = "result"
    TAUGHT = "result with teachers"
    SCORING = "scoring"
    SPEED = "speed"
    PLACE = "place"
    SELECTION = "teachers in use"


EXPLANATIONS = {
    Role.VIEWS: "how views are drawn, and therefore the address of every store",
    Role.TEACHER: "the teacher's tokens, and therefore the address of its store",
    Role.CODEC: "how tokens are stored, and therefore which store of a teacher is read",
    Role.RESULT: "the result of training; a run cannot be resumed with another value",
    Role.TAUGHT: "the result of training with a method that uses teachers; other methods ignore it",
    Role.SELECTION: "which teachers of the config are used",
    Role.SCORING: "how a trained model predicts; `evaluate` and `predict` accept another value with --set",
    Role.SPEED: "only speed and memory; may change at any time",
    Role.PLACE: "names and paths on disk; may change at any time",
}

T = TypeVar("T")
Views = Annotated[T, Role.VIEWS]
OfTeacher = Annotated[T, Role.TEACHER]
OfCodec = Annotated[T, Role.CODEC]
Result = Annotated[T, Role.RESULT]
Taught = Annotated[T, Role.TAUGHT]
Scoring = Annotated[T, Role.SCORING]
Speed = Annotated[T, Role.SPEED]
Place = Annotated[T, Role.PLACE]
Selection = Annotated[T, Role.SELECTION]


class ConfigSettings(Settings):
    """A group of config keys. Each key is a group itself or declares its role."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401 - as pydantic declares it
        """Check that each field has a role, and the same role as in the base classes.

        Raises:
            TypeError: If a field has no role, or another role than in a base class.
        """
        super().__pydantic_init_subclass__(**options)
        for name, field in cls.model_fields.items():
            if role_of(field) is None and not _has_groups(field.annotation):
                raise TypeError(f"{cls.__name__}.{name} does not declare its role")
            for base in cls.__bases__:
                inherited = getattr(base, "model_fields", {}).get(name, field)
                if role_of(inherited) != role_of(field):
                    raise TypeError(
                        f"{cls.__name__}.{name} decides {role_of(inherited)} in {base.__name__}, and cannot decide "
                        f"{role_of(field)}"
                    )

    @property
    def overruled(self) -> dict[str, str]:
        """The dotted keys in this group that others make ineffective, each with the reason, as in "with loss: mse"."""
        return {}

    def chosen(self, name: str) -> bool:
        """Return whether a config chose the value of a key.

        The config of a run has all keys; there, the values that differ from their defaults are chosen.
        """
        fields, given = type(self).model_fields, self.model_fields_set
        if all(key in given or field.exclude_if for key, field in fields.items()):
            default = fields[name].get_default(call_default_factory=True)
            return bool(getattr(self, name) != default)
        return name in given


def role_of(field: FieldInfo) -> Role | None:
    """Return the role of a field, or None for a group of fields."""
    return next((role for role in field.metadata if isinstance(role, Role)), None)


def _has_groups(annotation: object) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, ConfigSettings)
    return any(map(_has_groups, get_args(annotation)))


def unheeded(settings: ConfigSettings, prefix: str = "") -> Iterator[str]:
    """Describe the keys that a config chose and other keys make ineffective, a sentence each.

    Args:
        settings: the config, or a group of it.
        prefix: the dotted key of the group, with a dot at its end.
    """
    for key, reason in settings.overruled.items():
        *groups, name = key.split(".")
        holder: ConfigSettings = reduce(getattr, groups, settings)
        if holder.chosen(name):
            yield f"{prefix}{key} has no effect {reason}"
    for name in type(settings).model_fields:
        if isinstance(group := getattr(settings, name), ConfigSettings):
            yield from unheeded(group, f"{prefix}{name}.")


def deciding(settings: ConfigSettings, *roles: Role) -> dict[str, Any]:
    """Return the values of the fields with these roles as nested JSON, without empty groups."""
    values = settings.model_dump(mode="json")
    chosen: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value, role = getattr(settings, name), role_of(field)
        if role is not None:
            # A field with `exclude_if` is missing from the JSON if it has its default.
            if role in roles and name in values:
                chosen[name] = values[name]
        elif isinstance(value, ConfigSettings):
            if inner := deciding(value, *roles):
                chosen[name] = inner
        elif isinstance(value, tuple):
            inners = [deciding(group, *roles) for group in value]
            chosen |= {name: inners} if any(inners) else {}
    return chosen


def flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Flatten nested values to pairs of dotted key and value."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
