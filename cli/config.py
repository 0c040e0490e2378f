"""`rsmtdf config`: show, explain and copy configs."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from cli.console import Text, err, labeled, out
from cli.options import Config, Overrides, copy_file, read_config

app = typer.Typer(no_args_is_help=True, help="Show, explain and copy configs.")


@app.command("list")
def list_configs() -> None:
    """List the packaged configs."""
    from pipeline.packaged import packaged_configs

    configs = packaged_configs()
    width = max(map(len, configs))
    for name, path in configs.items():
        first = path.read_text().splitlines()[0].lstrip("# ")
        out.print(labeled(f"{name:<{width}}", first))


@app.command()
def show(config: Config, overrides: Overrides = None) -> None:
    """Validate a config and print all keys with their values, including defaults.

    Warnings name keys that other keys or the manifest make ineffective.
    """
    from pipeline.labeled import unheeded_by_manifest
    from rsmtdf_core.errors import RsmtdfError
    from rsmtdf_core.roles import unheeded
    from rsmtdf_core.scenes.manifest import load_manifest
    from rsmtdf_core.validation import dump_yaml

    settings = read_config(config, overrides)
    typer.echo(dump_yaml(settings, excluded=True), nl=False)
    sentences = [*unheeded(settings)]
    with suppress(RsmtdfError):  # the manifest may not exist yet
        manifest = load_manifest(settings.data.manifest, settings.data.fold)
        sentences += unheeded_by_manifest(settings, manifest)
    for sentence in sentences:
        err.print(sentence, style="yellow", soft_wrap=True)


@app.command()
def explain(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="A dotted key, e.g. [cyan]optimiser.lr[/].")
    ],
) -> None:
    """Explain a config key: description, type, default and role."""
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
    path: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Copy a packaged config to a new file, including comments."""
    from pipeline.packaged import find_config

    copy_file(find_config(name), path)
