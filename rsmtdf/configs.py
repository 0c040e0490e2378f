"""Loads configs from a path, a packaged name, a mapping, or a validated model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import ExperimentConfig

    ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | ExperimentConfig
    Overrides = Mapping[str, object] | Sequence[str] | None


def load_config(config: ConfigSource, overrides: Overrides = None) -> ExperimentConfig:
    """Load and validate a config.

    Args:
        config: a YAML file's path, the name of a packaged config such as "dubai", a mapping with the keys of a file, or
            a config, which is returned unchanged if there are no overrides.
        overrides: values by dotted key, as in `{"optimiser.epochs": 20, "teachers.dino.weights": path}`, or the command
            line's form, `["optimiser.epochs=20"]`.

    Raises:
        ConfigError: If a key is unknown or a value is invalid; the message names each of them.
    """
    from pipeline.config import load_config as load

    return load(config, override_words(overrides))


def override_words(overrides: Overrides, **more: object) -> list[str]:
    """Convert overrides to the form of the command line: `key=value`, with the value in YAML.

    Args:
        overrides: values by key, or overrides in the form of the command line.
        more: values of other keys, with two underscores in place of a dot; None is ignored.

    Raises:
        ConfigError: If YAML has no type for a value.
    """
    further = {key.replace("__", "."): value for key, value in more.items() if value is not None}
    if isinstance(overrides, Mapping):
        return _words({**overrides, **further})
    return [*(overrides or ()), *_words(further)]


def _words(values: Mapping[str, object]) -> list[str]:
    return [f"{key}={_yaml(key, value)}" for key, value in values.items()]


def _yaml(key: str, value: object) -> str:
    import yaml

    from pipeline.config import plain_value
    from rsmtdf_core.errors import ConfigError

    try:
        return yaml.safe_dump(plain_value(value), default_flow_style=True).strip()
    except yaml.YAMLError:
        raise ConfigError(
            f"expected text, a number, a list or a mapping, found a value of type {type(value).__name__}",
            where=key,
            remedy="convert the value, for example by int(), float() or str()",
        ) from None
