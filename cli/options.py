"""Arguments and options shared by several verbs, with the same help text."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import out

if TYPE_CHECKING:
    from pipeline.config import ExperimentConfig
    from pipeline.sections import RuntimeSettings
    from rsmtdf_core.scenes.bands import BandSettings

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
InferenceOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override inference settings, e.g. [cyan]--set "
        r"evaluation.inference.scales=\[0.75,1,1.25][/] or [cyan]--set "
        r"evaluation.inference.flips=\[horizontal][/]. May be given several times.",
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
    Path, typer.Argument(metavar="RUN", help="A run's folder, as printed by `rsmtdf train`.")
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="best|last|STEP|PATH",
        help="The model of the best validation, of the newest checkpoint, after STEP steps, or in a folder such as "
        "[cyan]RUN/checkpoints/step-00000120[/]. A step that does not exist lists those that do.",
        show_default="best",
    ),
]
Bands = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B,...",
        help="The bands of a GeoTIFF used as red, green and blue, counted from 1, e.g. [cyan]4,3,2[/]. Further "
        "bands, e.g. [cyan]4,3,2,8[/], are seen by the student only; teachers see the first three.",
        show_default="the manifest's bands, else the first three",
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="The values mapped to black and white, e.g. [cyan]0,3000[/]; required above 8 bits.",
        show_default="the manifest's scale",
    ),
]


def read_bands(indices: str | None, scale: str | None) -> "BandSettings | None":
    """Parse `--bands` and `--scale`; None if neither is given."""
    from rsmtdf_core.scenes.bands import BandSettings
    from rsmtdf_core.validation import validate

    options = {"indices": indices, "scale": scale}
    values = {key: value.split(",") for key, value in options.items() if value is not None}
    return validate(BandSettings, values, "--bands, --scale") if values else None


class ScoredSplit(StrEnum):
    """The splits of a run's reports."""

    val = "val"
    test = "test"


def copy_file(source: Path, path: Path) -> None:
    """Copy a packaged file, including its comments, to a path of the user."""
    from rsmtdf_core import files
    from rsmtdf_core.errors import ConfigError

    files.require_writable(path)
    if path.exists():
        raise ConfigError("the file exists already", where=path, remedy="name another file")
    files.copy_file(source, path)
    out.print(f"wrote {path}")


def read_runtime(cache: Path | None) -> "RuntimeSettings":
    """Return the default runtime settings, with the cache folder if one is given."""
    from pipeline.sections import RuntimeSettings
    from rsmtdf_core.validation import validate

    return validate(RuntimeSettings, {"cache": cache}, "--cache")


def read_config(
    name_or_path: str, overrides: list[str] | None, cache: Path | None = None
) -> "ExperimentConfig":
    """Load a config with overrides, and with the cache folder if one is given."""
    from pipeline.config import load_config

    config = load_config(name_or_path, overrides or [])
    if cache is None:
        return config
    folder = read_runtime(cache).cache
    return config.model_copy(
        update={"runtime": config.runtime.model_copy(update={"cache": folder})}
    )
