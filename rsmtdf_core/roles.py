"""What each field of a config decides, stated beside its type.

    lr: Result[float] = 5e-6

Addresses of stores, the rules of resuming, groups of comparable runs, overrides of `evaluate` and the facts of
predictions are derived from these roles, so that no list of keys elsewhere can miss a field.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args

from pydantic.fields import FieldInfo

from rsmtdf_core.settings import Settings


class Role(StrEnum):
    """What a field decides."""

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
    Role.VIEWS: "how views are drawn, and so the address of every store",
    Role.TEACHER: "the teacher's tokens, and so the address of its store",
    Role.CODEC: "how tokens are stored, and so which of a teacher's stores is read",
    Role.RESULT: "what a training computes; a run cannot be resumed with another value",
    Role.TAUGHT: "what a training with a method that uses teachers computes; other methods ignore it",
    Role.SELECTION: "which of the config's teachers are used",
    Role.SCORING: "how a trained model predicts; `evaluate` and `predict` take another value with --set",
    Role.SPEED: "speed and memory alone; may change at any time",
    Role.PLACE: "names and places on disk; may change at any time",
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
    """A group of a config's keys: each is a group itself or states its role."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401 - as pydantic declares it
        """Refuse a class with a field that does not state what it decides, or that changes it.

        Raises:
            TypeError: the field has no role, or another one than in the class that it comes from.
        """
        super().__pydantic_init_subclass__(**options)
        for name, field in cls.model_fields.items():
            if role_of(field) is None and not _has_groups(field.annotation):
                raise TypeError(f"{cls.__name__}.{name} does not state what it decides")
            for base in cls.__bases__:
                inherited = getattr(base, "model_fields", {}).get(name, field)
                if role_of(inherited) != role_of(field):
                    raise TypeError(
                        f"{cls.__name__}.{name} decides {role_of(inherited)} in {base.__name__}, and cannot decide "
                        f"{role_of(field)}"
                    )


def role_of(field: FieldInfo) -> Role | None:
    """The role that a field states; None for a group of further fields."""
    return next((role for role in field.metadata if isinstance(role, Role)), None)


def _has_groups(annotation: object) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, ConfigSettings)
    return any(map(_has_groups, get_args(annotation)))


def deciding(settings: ConfigSettings, *roles: Role) -> dict[str, Any]:
    """The fields with these roles, as nested JSON; groups without such a field are left out."""
    values = settings.model_dump(mode="json")
    chosen: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value, role = getattr(settings, name), role_of(field)
        if role is not None:
            # A field may leave itself out of the JSON while it has its default.
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
    """Nested values under dotted keys."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
