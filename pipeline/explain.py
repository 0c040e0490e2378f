"""Explains config keys: description, type, default and role, as declared in the settings classes."""

import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic.fields import FieldInfo

from pipeline.config import ExperimentConfig
from rsmtdf_core.choices import OneOf, choice_in, declared_group, fields_at, groups_of
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import ConfigSettings, Role, role_of
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import dump_value, suggestion

_NAMES = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    Path: "path",
    type(None): "null",
}
_BOUNDS: dict[type, tuple[str, str]] = {
    Ge: (">=", "ge"),
    Gt: (">", "gt"),
    Le: ("<=", "le"),
    Lt: ("<", "lt"),
    MultipleOf: ("multiple of", "multiple_of"),
}
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:(?:    .*)?\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): ((?:.*\n?)(?:^        .*\n?)*)", re.MULTILINE)


_REQUIRED = "none, the key is required"


class Explanation(Settings):
    """The explanation of a key.

    Attributes:
        key: the dotted key.
        description: description of the key or group.
        type: the accepted values; empty for a group.
        default: the default as YAML; empty for a group.
        role: the role of the key; None for a group.
        keys: the keys of a group; if the group is a choice of parts, those of all parts.
        choices: the parts that the key can select, each with its summary.
    """

    key: str
    description: str
    type: str = ""
    default: str = ""
    role: Role | None = None
    keys: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


def explain(key: str) -> tuple[Explanation, ...]:
    """Explain a dotted key. The result has several explanations if several parts have the key.

    Raises:
        ConfigError: If there is no such key.
    """
    fields = fields_at(ExperimentConfig, key)
    if not fields:
        raise ConfigError(
            f"a config has no key '{key}'{suggestion(key, all_keys())}",
            remedy="`rsmtdf config show CONFIG` prints all keys",
        )
    above, _, last = key.rpartition(".")
    # An item of a list has no field, so its name or number is omitted.
    groups = fields_at(ExperimentConfig, above) or fields_at(
        ExperimentConfig, above.rpartition(".")[0]
    )
    choice = choice_in(groups[0][2]) if groups else None
    if choice and choice.key == last:
        return (_name_of_part(key, choice, *fields[0]),)
    return tuple(
        dict.fromkeys(_explained(group, name, key, field) for group, name, field in fields)
    )


def all_keys(group: type[ConfigSettings] = ExperimentConfig, prefix: str = "") -> Iterator[str]:
    """Iterate over all keys of a config, including groups."""
    for name, field in group.model_fields.items():
        yield f"{prefix}{name}"
        for inner_group in groups_of(field):
            yield from all_keys(inner_group, f"{prefix}{name}.")


def _name_of_part(
    key: str, choice: OneOf, group: type[ConfigSettings], name: str, field: FieldInfo
) -> Explanation:
    """Explain the key that selects a part, with a list of the parts."""
    return Explanation(
        key=key,
        description=description(group, name),
        type=" or ".join(choice.kinds),
        default=choice.default or _REQUIRED,
        role=role_of(field),
        choices=tuple(f"{kind.name}: {kind.summary}" for kind in choice.kinds.values()),
    )


def _explained(group: type[ConfigSettings], name: str, key: str, field: FieldInfo) -> Explanation:
    inner_groups = groups_of(field)
    if inner_groups:
        return Explanation(
            key=key,
            description=description(group, name) or _headline(declared_group(field.annotation)),
            keys=tuple(dict.fromkeys(name for part in inner_groups for name in part.model_fields)),
        )
    bounds = [_bound(limit) for limit in field.metadata if type(limit) in _BOUNDS]
    return Explanation(
        key=key,
        description=description(group, name),
        type=", ".join([_type(field.annotation), *bounds]),
        default=_REQUIRED
        if field.is_required()
        else dump_value(field.get_default(call_default_factory=True)),
        role=role_of(field),
    )


def description(group: type[ConfigSettings], name: str) -> str:
    """Return the description of a field from the docstring of its class or a base class, or an empty string."""
    for kind in group.__mro__:
        section = _ATTRIBUTES.search(inspect.cleandoc(kind.__doc__ or ""))
        entries = dict(_ENTRY.findall(section[1])) if section else {}
        if name in entries:
            return " ".join(str(entries[name]).split())
    return ""


def _headline(group: type[ConfigSettings] | None) -> str:
    return inspect.cleandoc((group and group.__doc__) or "").partition("\n")[0]


def _bound(limit: Any) -> str:  # noqa: ANN401 - these classes have no common base class
    sign, attribute = _BOUNDS[type(limit)]
    return f"{sign} {getattr(limit, attribute):,}"


def _type(annotation: Any) -> str:  # noqa: ANN401 - any type annotation
    """Describe an annotation in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marks = (mark.metadata if isinstance(mark, FieldInfo) else [mark] for mark in arguments[1:])
        bounds = [_bound(limit) for limits in marks for limit in limits if type(limit) in _BOUNDS]
        return f"{_type(arguments[0])} {' and '.join(bounds)}".strip()
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return f"mapping with {', '.join(annotation.model_fields)}"
    if annotation in _NAMES:
        return _NAMES[annotation]
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in {Union, types.UnionType}:
        return " or ".join(map(_type, arguments))
    if origin is tuple:
        number = "" if arguments[-1] is Ellipsis else f"{len(arguments)} times "
        return f"list of {number}{_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    return _type(arguments[0]) if arguments else str(annotation)
