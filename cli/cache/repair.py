"""`rsmtdf cache repair`: repair a damaged cache for an extraction (tests: pipeline/cache/test_remedies.py)."""

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
            help="The folder of a store, a group of views or a cache, or the name of a store or group from "
            "`rsmtdf cache ls`. By default the whole cache.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            help="A config whose scenes are on this machine: they determine a group's files if the copies are "
            "damaged too.",
        ),
    ] = None,
    overrides: Overrides = None,
    cache: Cache = None,
    set_aside: Annotated[
        bool,
        typer.Option(
            "--set-aside",
            help="Move the whole STORE away, even if its files are sound, to extract it again.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the steps.")] = False,
) -> None:
    """Repair damaged stores, so that `rsmtdf extract-features` can complete them.

    Files are rebuilt from copies and other files. Damaged files are moved to the folder set-aside in the cache, and
    never deleted. The command refuses to run while an extraction or a training uses the store.
    """
    from pipeline.cache.repair import repair as repair_cache
    from pipeline.sections import RuntimeSettings
    from rsmtdf_core.errors import ConfigError

    if overrides and config is None:
        raise ConfigError("--set needs a config", remedy="give --config")
    if set_aside and store is None:
        raise ConfigError("--set-aside needs a STORE", remedy="rsmtdf cache ls")
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
            f"damaged files are in {report.aside}; delete this folder when you no longer need them"
        )
        out.print(text, soft_wrap=True)
    if report.losses:
        out.print(Text("next: rsmtdf extract-features CONFIG"), soft_wrap=True)


def _target(store: str | None, cache: Path) -> Path:
    """Return the folder of a STORE argument."""
    from rsmtdf_core.cache_names import GROUP_NAME, STORE_NAME
    from rsmtdf_core.store.copies import is_there

    if store is None:
        return cache
    candidates = list(cache.glob(f"*/{store}")) if STORE_NAME.fullmatch(store) else []
    if GROUP_NAME.fullmatch(store.partition("/")[0]):
        candidates = [cache / store]
    folders = [path for path in candidates if is_there(path)]
    return folders[0] if len(folders) == 1 else Path(store)
