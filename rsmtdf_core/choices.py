"""Config groups with a key that selects a part, such as a codec. The part determines the other keys of the group."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
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
    """Marks a group of keys as the settings of one of several parts, selected by a key of the group.

    A config may give the name of the part in place of the group. Keys of other parts are validated and dropped, so that
    an override can select another part than the file. Parts are looked up at validation, not at class creation, because
    a part's module may import the settings that contain the mark.

    Attributes:
        kinds: rows by name, each with its `settings`.
        key: the key that selects the part.
        default: the part of a group without this key; None if the key is required.
    """

    kinds: Mapping[str, Any]
    key: str
    default: str | None = None

    def __get_pydantic_core_schema__(
        self,
        source: Any,  # noqa: ANN401 - as pydantic asks for it
        handler: GetCoreSchemaHandler,
    ) -> core_schema.CoreSchema:
        """Validate values with `read`."""
        del source, handler
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON schema: a name alone, or the settings of one of the parts."""
        del schema
        settings = [handler(group.__pydantic_core_schema__) for group in self.groups]
        return {"anyOf": [{"enum": list(self.kinds)}, *settings]}

    @property
    def groups(self) -> tuple[Group, ...]:
        """Settings classes of all parts."""
        return tuple(kind.settings for kind in self.kinds.values())

    def read(self, value: object) -> Any:  # noqa: ANN401 - settings of the class that the field declares
        """Validate a value as settings of the part that it selects.

        Raises:
            ValueError: If the value is neither a name nor a mapping, or the mapping is invalid for its part.
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
        """Return the settings of a group that is missing from the config."""
        return self.read({})

    @property
    def _known(self) -> str:
        return ", ".join(self.kinds)

    def _of_part(self, values: dict[str, object], settings: Group) -> dict[str, object]:
        """Drop the keys of other parts, after their values are validated."""
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
    """Return the errors in the value of a key, ignoring other keys of the group."""
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
    """Return the `OneOf` mark of a field, or None."""
    marks = [mark for mark in field.metadata if isinstance(mark, OneOf)]
    return marks[0] if marks else None


def choice_in(field: FieldInfo) -> OneOf | None:
    """Return the `OneOf` mark of a field or of its items, or None."""
    return one_of(field) or _choice_in(field.annotation)


def groups_of(field: FieldInfo) -> tuple[Group, ...]:
    """Return the possible settings classes of a field or of its items; empty for a plain value."""
    choice, group = choice_in(field), declared_group(field.annotation)
    if choice:
        return choice.groups
    return () if group is None else (group,)


def declared_group(annotation: object) -> Group | None:
    """Return the settings class in an annotation, directly or for items; for a choice, the base class of its parts."""
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
    """Iterate over dotted keys and their defaults as JSON, for all parts of a choice, without required keys."""
    for name, field in group.model_fields.items():
        inner_groups = groups_of(field)
        for inner_group in inner_groups:
            yield from default_values(inner_group, f"{prefix}{name}.")
        if not inner_groups and not field.is_required():
            yield (
                f"{prefix}{name}",
                to_jsonable_python(field.get_default(call_default_factory=True)),
            )


def fields_at(group: Group, key: str) -> list[tuple[Group, str, FieldInfo]]:
    """Return the fields that match a dotted key, each with its class and name; empty for an unknown key.

    The number or name of a list item is optional: `teachers.dino.block`, `teachers.block`.
    """
    first, _, rest = key.partition(".")
    field = group.model_fields.get(first)
    if field is None:
        return []
    if not rest:
        return [(group, first, field)]
    inner_groups = groups_of(field)
    entries = [entry for inner_group in inner_groups for entry in fields_at(inner_group, rest)]
    if not entries and get_origin(field.annotation) is tuple and "." in rest:
        rest = rest.partition(".")[2]
        entries = [entry for inner_group in inner_groups for entry in fields_at(inner_group, rest)]
    return entries
