"""Groups of a config's keys whose settings depend on the part that one of the keys names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import (
    InitErrorDetails,
    PydanticCustomError,
    PydanticKnownError,
    core_schema,
    to_jsonable_python,
)

from rsmtdf_core.roles import ConfigSettings

Group = type[ConfigSettings]


@dataclass(frozen=True)
class OneOf:
    """Marks a group of keys as the settings of one of several parts, which one key of the group names.

    The group may be written as that name alone. Keys that only other parts have are checked and left out, so that an
    override may name another part than the file. Parts are looked up when values are read, not when classes are made:
    a part's module may use the settings that mention it.

    Attributes:
        kinds: rows by name, each with its `settings`.
        key: the key that names the part.
        default: the part of a group that names none; None if every group has to.
    """

    kinds: Mapping[str, Any]
    key: str
    default: str | None = None

    def __get_pydantic_core_schema__(
        self,
        source: Any,  # noqa: ANN401 - as pydantic asks for it
        handler: GetCoreSchemaHandler,
    ) -> core_schema.CoreSchema:
        """Values become settings of the part that they name."""
        del source, handler
        return core_schema.no_info_plain_validator_function(self.read)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The settings classes of all parts."""
        return tuple(kind.settings for kind in self.kinds.values())

    def read(self, value: object) -> Any:  # noqa: ANN401 - settings of the class that the field declares
        """The settings that a value describes.

        Raises:
            ValueError: it is no name and no mapping, or the mapping does not fit its part.
        """
        if isinstance(value, ConfigSettings):
            return value
        values = {self.key: value} if isinstance(value, str) else value
        if not isinstance(values, Mapping):
            raise PydanticKnownError("dict_type")
        name = values.get(self.key, self.default)
        if name is None:
            raise _invalid([InitErrorDetails(type="missing", loc=(self.key,), input=values)])
        if not isinstance(name, str) or name not in self.kinds:
            unknown = PydanticCustomError("unknown_kind", "one of {known}", {"known": self._known})
            raise _invalid([InitErrorDetails(type=unknown, loc=(self.key,), input=name)])
        settings: Group = self.kinds[name].settings
        return settings.model_validate(self._of_part({**values, self.key: name}, settings))

    def make(self) -> Any:  # noqa: ANN401 - as `read`
        """The settings of a group that a config leaves out."""
        return self.read({})

    @property
    def _known(self) -> str:
        return ", ".join(self.kinds)

    def _of_part(self, values: dict[str, object], settings: Group) -> dict[str, object]:
        """The values but for those of keys that only other parts have."""
        kept = dict(values)
        for key in values.keys() - settings.model_fields.keys():
            others = [group for group in self.groups if key in group.model_fields]
            problems = [_problems(group, key, values[key]) for group in others]
            if others and all(problems):
                raise _invalid(problems[0])
            if others:
                del kept[key]
        return kept


def _invalid(problems: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("group", problems)


def _problems(group: Group, key: str, value: object) -> list[InitErrorDetails]:
    """What makes a value of one key wrong, whatever else the group needs."""
    try:
        group.model_validate({key: value})
    except ValidationError as error:
        return [
            InitErrorDetails(
                type=PydanticCustomError(details["type"], "{message}", {"message": details["msg"]}),
                loc=details["loc"],
                input=details["input"],
            )
            for details in error.errors()
            if details["loc"][:1] == (key,)
        ]
    return []


def one_of(field: FieldInfo) -> OneOf | None:
    """The choice that a field is, if it is one."""
    marks = [mark for mark in field.metadata if isinstance(mark, OneOf)]
    return marks[0] if marks else None


def choice_in(field: FieldInfo) -> OneOf | None:
    """The choice that a field, or an item of it, is."""
    return one_of(field) or _choice_in(field.annotation)


def groups_of(field: FieldInfo) -> tuple[Group, ...]:
    """The settings classes that a field's value may have, itself or as an item; none for a plain value."""
    choice, group = choice_in(field), declared_group(field.annotation)
    if choice:
        return choice.groups
    return () if group is None else (group,)


def declared_group(annotation: object) -> Group | None:
    """The settings class that an annotation names, itself or for items: of a choice, what its parts have in common."""
    if isinstance(annotation, type) and issubclass(annotation, ConfigSettings):
        return annotation
    groups = (declared_group(inner) for inner in get_args(annotation))
    return next((group for group in groups if group), None)


def _choice_in(annotation: object) -> OneOf | None:
    if isinstance(annotation, OneOf):
        return annotation
    choices = (_choice_in(inner) for inner in get_args(annotation))
    return next((choice for choice in choices if choice), None)


def default_values(group: Group, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Each dotted key with its default, as JSON; those of all parts of a choice, and none that are required."""
    for name, field in group.model_fields.items():
        inner = groups_of(field)
        for each in inner:
            yield from default_values(each, f"{prefix}{name}.")
        if not inner and not field.is_required():
            yield (
                f"{prefix}{name}",
                to_jsonable_python(field.get_default(call_default_factory=True)),
            )


def fields_at(group: Group, key: str) -> list[tuple[Group, str, FieldInfo]]:
    """The fields that a dotted key may name, each with the class that has it; none for an unknown key.

    An item of a list may be named by its number or name, or be left out: `teachers.dino.block`, `teachers.block`.
    """
    first, _, rest = key.partition(".")
    field = group.model_fields.get(first)
    if field is None:
        return []
    if not rest:
        return [(group, first, field)]
    inner = groups_of(field)
    entries = [entry for each in inner for entry in fields_at(each, rest)]
    if not entries and get_origin(field.annotation) is tuple and "." in rest:
        entries = [entry for each in inner for entry in fields_at(each, rest.partition(".")[2])]
    return entries
