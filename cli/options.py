"""Arguments and options that several verbs share, so that they are told in the same words."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import out

if TYPE_CHECKING:
    from pipeline.config import ExperimentConfig

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A YAML file, or the name of a packaged one (see `rsmtdf config list`).",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the config, e.g. [cyan]--set optimiser.epochs=20[/] or "
        "[cyan]--set teachers.dino.weights=dinov2_vitb14_pretrain.pth[/]. May be given several times.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of the feature stores; overrides runtime.cache.",
        show_default="runtime.cache, else $RSMTDF_CACHE, else rsmtdf in the user's cache folder",
    ),
]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, as `rsmtdf train` named it.")
]


class ScoredSplit(StrEnum):
    """The splits that reports on runs may be of."""

    val = "val"
    test = "test"


def copy_file(source: Path, path: Path) -> None:
    """Write a packaged file to a place of the user's own, comments included."""
    from rsmtdf_core.errors import ConfigError

    if path.exists():
        raise ConfigError("the file is there already", where=path, remedy="name another file")
    path.write_text(source.read_text())
    out.print(f"wrote {path}", highlight=False)


def read_config(
    name_or_path: str, overrides: list[str] | None, cache: Path | None = None
) -> "ExperimentConfig":
    """The config with its overrides, and with the cache where that was given."""
    from pipeline.config import load_config

    config = load_config(name_or_path, overrides or [])
    if cache is None:
        return config
    return config.model_copy(update={"runtime": config.runtime.model_copy(update={"cache": cache})})
