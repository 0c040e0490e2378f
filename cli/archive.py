"""`rsmtdf suggest` and `rsmtdf search`: uses of the cached tokens beyond training."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.console import RichReporter, Text, err, out, show, show_json
from cli.options import Cache, Config, Overrides, read_config
from rsmtdf_core.errors import ConfigError

_RANDOM = "RANDOM WEIGHTS: such {} do not reflect the scenes"


def suggest(
    config: Config,
    count: Annotated[int, typer.Option(min=1, help="Number of scenes.")] = 10,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder for suggestions.csv and suggestions.png.")
    ] = Path("suggestions"),
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare the tokens of this teacher. May be given several times.",
            show_default="all that the method distills",
        ),
    ] = None,
    overrides: Overrides = None,
    cache: Cache = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Suggest training scenes to label next, from cached tokens.

    Each scene in turn is the one farthest from all labeled and suggested scenes (k-centre greedy, Sener and Savarese
    2018), by the mean of its tokens over all views. No teacher is loaded, and the same cache gives the same list.
    Writes a CSV file and a contact sheet.
    """
    from pipeline.archive.suggest import suggest as suggest_scenes

    report = suggest_scenes(
        read_config(config, overrides, cache), count, folder, teacher, RichReporter()
    )
    _warn(report.cautions, "distances" if report.random_teachers else "")
    if json:
        show_json(report)
        return
    teachers = " and ".join(report.teachers)
    shown = Table(
        title=f"{len(report.scenes)} of {report.candidates} unlabeled scenes, by the tokens of {teachers}",
        title_justify="left",
        title_style="bold",
    )
    shown.add_column("", justify="right")
    shown.add_column("scene", overflow="fold")
    shown.add_column("distance", justify="right")
    shown.add_column("nearest labeled or suggested", overflow="fold")
    for scene in report.scenes:
        name = f"{scene.scene} (has a mask)" if scene.has_mask else scene.scene
        shown.add_row(str(scene.rank), Text(name), f"{scene.distance:.3f}", Text(scene.nearest))
    out.print(shown)
    show("list and contact sheet", folder)


def search(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STORE_OR_CONFIG",
            help="A config whose features are in the cache, or the folder of a store.",
        ),
    ],
    like: Annotated[
        str,
        typer.Option(
            metavar="IMAGE[:x,y,w,h]",
            help="An image, with an optional box in px; or the id of a scene of the archive.",
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of views.")] = 12,
    folder: Annotated[
        Path,
        typer.Option("--out", help="Folder for matches.csv, matches.png and matches.geojson."),
    ] = Path("matches"),
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Compare the tokens of this teacher of the config.",
            show_default="the first that the method distills",
        ),
    ] = None,
    overrides: Overrides = None,
    cache: Cache = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Find the views of an archive that are most similar to an image or a scene, from cached tokens.

    Of each scene the most similar view is listed, with its box in the image. Scenes with a georeference are also
    written as GeoJSON. A scene of the archive is compared by its cached tokens; for another image the config's teacher
    is loaded, which may download its weights as extract-features does. A store alone has no pixels: only matches.csv is
    written.
    """
    from pipeline.archive.search import search as search_archive

    is_store = Path(source).is_dir()
    if is_store and (overrides or cache):
        raise ConfigError("--set and --cache need a config", where=source, remedy="give a config")
    archive = Path(source) if is_store else read_config(source, overrides, cache)
    report = search_archive(archive, like, count, folder, teacher, RichReporter())
    _warn(report.cautions, "similarities" if report.random_weights else "")
    if json:
        show_json(report)
        return
    shown = Table(
        title=f"most similar to {report.query} among {report.views:,} views of {report.scenes:,} scenes",
        title_justify="left",
        title_style="bold",
    )
    shown.add_column("", justify="right")
    shown.add_column("scene", overflow="fold")
    shown.add_column("box x, y, w, h", justify="right")
    shown.add_column("similarity", justify="right")
    for match in report.matches:
        box = f"{match.left}, {match.top}, {match.width}, {match.height}"
        shown.add_row(str(match.rank), Text(match.scene), box, f"{match.similarity:.3f}")
    out.print(shown)
    for path in report.files:
        show("written", path)


def _warn(cautions: tuple[str, ...], unreliable: str) -> None:
    for sentence in cautions:
        RichReporter().warn(sentence)
    if unreliable:
        err.print(_RANDOM.format(unreliable), style="bold yellow")
