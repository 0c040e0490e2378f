"""`rsmtdf config`: look at configs and take one to start from."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Text, err, labeled, out
from cli.options import Config, Overrides, copy_file, read_config

app = typer.Typer(no_args_is_help=True, help="Look at configs and take one to start from.")


@app.command("list")
def list_configs() -> None:
    """Name the configs that come with the package."""
    from pipeline.config import packaged_configs

    for name, path in packaged_configs().items():
        first = path.read_text().splitlines()[0].lstrip("# ")
        out.print(labeled(f"{name:<12}", first))


@app.command()
def show(config: Config, overrides: Overrides = None) -> None:
    """Print a config resolved: every key with the value in force, checked.

    Where the manifest lists its labeled scenes, a data.labeled that was set has no effect; that is said here too.
    """
    from pipeline.plan import unheeded
    from rsmtdf_core.errors import RsmtdfError
    from rsmtdf_core.scenes.manifest import load_manifest
    from rsmtdf_core.validation import dump_yaml

    found = read_config(config, overrides)
    typer.echo(dump_yaml(found), nl=False)
    # A config may be looked at before its manifest is there.
    with suppress(RsmtdfError):
        for sentence in unheeded(found, load_manifest(found.data.manifest)):
            err.print(sentence, style="yellow", soft_wrap=True)


@app.command()
def explain(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="A dotted key, e.g. [cyan]optimiser.lr[/].")
    ],
) -> None:
    """Print what a key of a config means: its description, type, default and what it decides."""
    from pipeline.explain import explain as explain_key
    from rsmtdf_core.roles import EXPLANATIONS

    for meaning in explain_key(key):
        out.print(Text(meaning.key, style="bold"))
        out.print(Text(f"  {meaning.description}"))
        if meaning.role is None:
            out.print(labeled("  keys    ", ", ".join(meaning.keys)))
            continue
        out.print(labeled("  type    ", meaning.type))
        for choice in meaning.choices:
            out.print(labeled("          ", choice))
        out.print(labeled("  default ", meaning.default))
        out.print(labeled("  decides ", f"{meaning.role}: {EXPLANATIONS[meaning.role]}"))


@app.command()
def kinds() -> None:
    """List the methods, teacher families, codecs and protocols of this project and of other installed packages."""
    from rsmtdf_core.kinds import CODECS, FAMILIES, METHODS, PROTOCOLS

    for registry in (METHODS, FAMILIES, CODECS, PROTOCOLS):
        for kind in registry.values():
            out.print(labeled(f"{registry.noun:<15} {kind.name:<12}", kind.summary))


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A packaged config.")],
    path: Annotated[Path, typer.Argument(help="Where to write it.")],
) -> None:
    """Write a packaged config to a file of your own, comments included."""
    from pipeline.config import find_config

    copy_file(find_config(name), path)
