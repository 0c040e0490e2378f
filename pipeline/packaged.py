"""The packaged example configs (tests: test_config.py)."""

from difflib import get_close_matches
from pathlib import Path

from rsmtdf_core.errors import ConfigError


def packaged_configs() -> dict[str, Path]:
    """Return the paths of the packaged example configs by name."""
    folder = Path(__file__).with_name("configs")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name_or_path: str) -> Path:
    """Return the path of a config.

    Args:
        name_or_path: name of a packaged config, or path of a YAML file.

    Raises:
        ConfigError: If there is no such file or packaged config.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    configs = packaged_configs()
    if name_or_path in configs:
        return configs[name_or_path]
    close = get_close_matches(name_or_path, configs, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"no config {name_or_path!r}",
        remedy=f"{hint}give a YAML file or one of: {', '.join(configs)}",
    )
