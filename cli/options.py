"""Arguments and options that several verbs share, so that they are told in the same words."""

from pathlib import Path
from typing import Annotated

import typer

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
        envvar="RSMTDF_CACHE",
        show_default="rsmtdf in the user's cache folder",
    ),
]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, as `rsmtdf train` named it.")
]


def with_cache(overrides: list[str] | None, cache: Path | None) -> list[str]:
    """The overrides, and one for the cache where it was given."""
    return [*(overrides or []), *([f"runtime.cache={cache}"] if cache is not None else [])]
