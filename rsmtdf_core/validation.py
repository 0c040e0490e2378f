"""Read settings from YAML and write them; errors name the key, the expected and the actual value.

Pydantic's reports address the author of a model. Here each problem becomes one line in the terms of the
user's file.
"""

import difflib
import reprlib
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python
from yaml.constructor import ConstructorError

from rsmtdf_core.choices import OneOf, one_of
from rsmtdf_core.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

# Values from a file may be large, deep, or recursive.
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 120

# The expectations of pydantic's error types in plain words; other types keep pydantic's message.
_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

# The kinds of values with a length or a pattern, in plain words.
_NOUNS = {"String": "text", "List": "a list", "Tuple": "a list", "Dictionary": "a mapping"}

# The patterns of names and colors in plain words; any other pattern is shown as a regular expression.
_FORMS = {
    "^[A-Za-z0-9][A-Za-z0-9._-]*$": "letters, digits, '.', '_' and '-', with a letter or digit first",
    "^[a-z][a-z0-9_-]*$": "small letters, digits, '_' and '-', with a letter first",
    "^[a-z][a-z0-9_]*$": "small letters, digits and '_', with a letter first",
    "^[0-9a-f]{64}$": "64 hexadecimal digits",
    "^#[0-9A-Fa-f]{6}$": "a color such as '#2F6FB5', in quotes",
}


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: If the file is missing, has a syntax error (the message names the line) or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("the file is missing", where=path, remedy="check the path") from None
    except (
        OSError,
        ValueError,
    ) as error:  # ValueError: bytes that are not text, or an invalid path
        raise ConfigError(
            f"the file cannot be read: {error}", where=path, remedy="give a YAML file in UTF-8"
        ) from None
    value = parse_yaml(text, path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(
            f"expected keys with values, found {_shown(value)}",
            where=path,
            remedy="write key: value",
        )
    return value


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with a single error class for malformed values."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping and refuse duplicate keys, of which PyYAML would silently use the last."""
        keys = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                problem = f"the key {_shown(key.value)} is given twice"
                raise ConstructorError(None, None, problem, key.start_mark)
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """Build the value of a node; for dates, numbers and tags that PyYAML cannot read, name the line."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = node.tag.rpartition(":")[2]
            problem = f"{_shown(node.value)} cannot be read as {kind}"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def parse_yaml(text: str, where: object) -> Any:  # noqa: ANN401 - whatever the text holds
    """Parse a YAML text into plain types.

    Raises:
        ConfigError: If the text has an error; the message names the line.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - derived from the safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        problem = str(problem).replace("'<stream end>'", "the end of the file")
        raise ConfigError(
            f"YAML error{line}: {problem}",
            where=where,
            remedy="correct it, or put the text in quotes",
        ) from None
    except RecursionError:
        raise ConfigError(
            "YAML error: the values are nested too deeply", where=where, remedy="write fewer levels"
        ) from None


def dump_yaml(settings: BaseModel, *, excluded: bool = False) -> str:
    """Return settings as YAML for `load_yaml` and `validate`: every key with its current value.

    Args:
        settings: the settings.
        excluded: whether to include keys that `exclude_if` omits, such as options that are off.
    """
    values = _all_values(settings) if excluded else settings.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _all_values(settings: BaseModel) -> dict[str, Any]:
    """Return all values as JSON, including those of fields with `exclude_if`."""
    values = settings.model_dump(mode="json")
    return {
        name: _all_values(value) if isinstance(value, BaseModel) else values.get(name, value)
        for name in type(settings).model_fields
        for value in [getattr(settings, name)]
    }


def dump_value(value: object) -> str:
    """Return a value of settings as YAML in a single line."""
    plain = to_jsonable_python(value)
    text = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def validate(model: type[M], value: object, where: str) -> M:
    """Build `model` from plain values.

    Args:
        model: the settings to build.
        value: a mapping as read from YAML or JSON.
        where: the file or option that the values come from, for the message.

    Raises:
        ConfigError: If a value is invalid; the message has a line with the dotted key for each problem.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = dict.fromkeys(_line(model, details) for details in error.errors())
        raise ConfigError(
            "\n".join(problems), where=where, remedy="edit the keys named above"
        ) from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'width'?" to append to a message, or "" if no known word is similar."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""


def _line(model: type[BaseModel], details: ErrorDetails) -> str:
    kind, actual = details["type"], details["input"]
    if kind == "extra_forbidden":
        key, holders = _locate(model, details["loc"][:-1])
        unknown = str(details["loc"][-1])
        known = [field for holder in holders for field in _fields(holder)]
        return f"unknown key '{_dotted(key, unknown)}'{suggestion(unknown, known)}"
    key, _ = _locate(model, details["loc"])
    prefix = f"{key}: " if key else ""
    if kind == "missing":
        return f"{prefix}the key is missing"
    if kind == "value_error":
        return prefix + details["msg"].removeprefix("Value error, ")
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        context = details["ctx"]
        name = str(context["discriminator"]).strip("'")
        tags = context.get("expected_tags")
        expected = f"{tags}" if tags else "the kind"
        return f"{_dotted(key, name)}: expected {expected}, found {_shown(_get(actual, name))}"
    expected = _EXPECTED.get(kind) or _expected(details)
    hint = ""
    if kind == "literal_error" and isinstance(actual, bool):
        hint = " (YAML takes a bare on, off, yes or no for true or false: put the word in quotes)"
    return f"{prefix}expected {expected}, found {_shown(actual)}{hint}"


def _expected(details: ErrorDetails) -> str:
    """Return the expectation in a pydantic error, without "Input should be" or "String should"."""
    if details["type"] == "string_pattern_mismatch":
        pattern = details["ctx"]["pattern"]
        return _FORMS.get(pattern, f"text of the form {pattern}")
    message = details["msg"].removeprefix("Input should be ")
    noun, should, rest = message.partition(" should have ")
    if not should:
        return message
    return f"{_NOUNS.get(noun, 'a value')} with {rest.split(' after validation')[0]}"


def _locate(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[str, list[Any]]:
    """Return the dotted key in the user's file, and its annotations.

    Pydantic's locations also include the branch of a union. It is not part of the user's key, so it only
    selects among the annotations.
    """
    key = ""
    annotations: list[Any] = [model]
    for part in loc:
        inner = [flat for annotation in annotations for flat in _step(annotation, part)]
        if inner:
            key, annotations = _dotted(key, str(part)), inner
        else:
            branches = [annotation for annotation in annotations if _is_branch(annotation, part)]
            annotations = branches or annotations
    return key, annotations


def _step(annotation: Any, part: int | str) -> list[Any]:  # noqa: ANN401 - any type annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if part in _fields(annotation):
        return _branches(_fields(annotation)[str(part)])
    if origin in {dict, Mapping} and isinstance(part, str):
        return _branches(arguments[1])
    if origin in {tuple, list, set, frozenset, Sequence} and isinstance(part, int):
        return [flat for argument in arguments for flat in _branches(argument)]
    return []


def _fields(annotation: Any) -> dict[str, Any]:  # noqa: ANN401 - any type annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: _annotation(field) for name, field in annotation.model_fields.items()}
    return {}


def _annotation(field: FieldInfo) -> Any:  # noqa: ANN401 - any type annotation
    """Return the annotation of a field; for a choice of parts, with the marker that has their settings."""
    choice = one_of(field)
    return Annotated[field.annotation, choice] if choice else field.annotation


def _branches(annotation: Any) -> list[Any]:  # noqa: ANN401 - any type annotation
    if get_origin(annotation) is Annotated:
        plain, *marks = get_args(annotation)
        choices = [mark for mark in marks if isinstance(mark, OneOf)]
        return list(choices[0].groups) if choices else _branches(plain)
    if get_origin(annotation) in {Union, types.UnionType}:
        return [flat for branch in get_args(annotation) for flat in _branches(branch)]
    return [annotation]


def _is_branch(annotation: Any, part: int | str) -> bool:  # noqa: ANN401 - any type annotation
    tags = [
        tag
        for field in _fields(annotation).values()
        if get_origin(field) is Literal
        for tag in get_args(field)
    ]
    return part in tags or part == getattr(annotation, "__name__", None)


def _dotted(key: str, part: str) -> str:
    return f"{key}.{part}" if key else part


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, Mapping) else value


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    try:
        text = _BRIEF.repr(value)
    except ValueError:  # a number of more digits than Python prints
        text = f"a {type(value).__name__} of too many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
