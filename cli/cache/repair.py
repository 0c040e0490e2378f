"""`rsmtdf cache repair`: bring a damaged cache back into use (tests: pipeline/cache/test_remedies.py)."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, Text, out
from cli.options import Cache, Overrides, read_config


def repair(
    store: Annotated[
        str | None,
        typer.Argument(
            metavar="[STORE]",
            help="The folder of a store, of a group of views or of a cache, or the name of a store or group as "
            "`rsmtdf cache ls` prints it. By default the whole cache.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            help="A config whose scenes are here: they determine a group's files where the copies are damaged too.",
        ),
    ] = None,
    overrides: Overrides = None,
    cache: Cache = None,
    set_aside: Annotated[
        bool,
        typer.Option(
            "--set-aside",
            help="Move the whole STORE, however sound its files are, to make it again.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the steps.")] = False,
) -> None:
    """Repair damaged stores; then `rsmtdf extract-features` makes what is missing.

    What other files determine is rebuilt from them. What cannot be trusted is moved to the folder set-aside in the
    cache, and never deleted. Refuses while an extraction or a training uses the store.
    """
    from pipeline.cache.repair import repair as repair_cache
    from pipeline.config import RuntimeSettings
    from rsmtdf_core.errors import ConfigError

    if overrides and config is None:
        raise ConfigError("--set changes a config, and none is given", remedy="give --config")
    if set_aside and store is None:
        raise ConfigError("--set-aside is for a store, and none is named", remedy="rsmtdf cache ls")
    experiment = None if config is None else read_config(config, overrides, cache)
    runtime = RuntimeSettings(cache=cache) if experiment is None else experiment.runtime
    target = _target(store, runtime.cache_folder)
    report = repair_cache(target, experiment, dry=dry_run, whole=set_aside, reporter=RichReporter())
    for action in report.actions:
        line = Text(f"{action.kind:<9} {action.path}: {action.why}")
        if action.loss:
            line.append(f"\n          lost: {action.loss}", style="yellow")
        out.print(line, soft_wrap=True)
    if not report.actions:
        out.print("no damage found", highlight=False)
    if report.aside is not None:
        text = Text(
            f"damaged files are in {report.aside}; delete that folder when you need them no longer"
        )
        out.print(text, soft_wrap=True)
    if report.losses:
        out.print(Text("next: rsmtdf extract-features CONFIG"), soft_wrap=True)


def _target(store: str | None, cache: Path) -> Path:
    """The folder that an argument means."""
    from rsmtdf_core.cache_names import GROUP_NAME, STORE_NAME
    from rsmtdf_core.store.copies import is_there

    if store is None:
        return cache
    names = list(cache.glob(f"*/{store}")) if STORE_NAME.fullmatch(store) else []
    if GROUP_NAME.fullmatch(store.partition("/")[0]):
        names = [cache / store]
    found = [path for path in names if is_there(path)]
    return found[0] if len(found) == 1 else Path(store)
