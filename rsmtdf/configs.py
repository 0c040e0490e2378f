"""Configs from Python: by path, by packaged name, as a mapping, or as the checked model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import ExperimentConfig

    ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | ExperimentConfig
    Overrides = Mapping[str, object] | Sequence[str] | None


def load_config(config: ConfigSource, overrides: Overrides = None) -> ExperimentConfig:
    """Read and check a config.

    Args:
        config: a YAML file's path, the name of a packaged config such as "dubai", a mapping with the keys of a file, or
            a config, which is returned as it is if there are no overrides.
        overrides: values by dotted key, as in `{"optimiser.epochs": 20, "teachers.dino.weights": path}`, or the command
            line's form, `["optimiser.epochs=20"]`.

    Raises:
        ConfigError: a key is unknown or a value is wrong; each is named.
    """
    from pipeline.config import load_config as load

    return load(config, override_words(overrides))


def override_words(overrides: Overrides, **more: object) -> list[str]:
    """Overrides as the command line takes them: `key=value`, the value in YAML.

    Args:
        overrides: values by key, or such words already.
        more: values of further keys, a dot written as two underscores; those that are None are left out.

    Raises:
        ConfigError: a value is not one that YAML has.
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
