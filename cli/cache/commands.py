"""`rsmtdf cache`: list the stores of a cache and their users; move or delete stores."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.cache.info import show_entry
from cli.cache.plan import plan
from cli.cache.repair import repair
from cli.cache.transcode import transcode
from cli.cache.verify import verify
from cli.console import RichReporter, Text, err, labeled, out, show, show_command, table
from cli.options import read_runtime
from cli.rows import show_rows
from rsmtdf_core.words import bytes_text

if TYPE_CHECKING:
    from rsmtdf_core.cache.catalogue import Catalogue, StoreEntry

app = typer.Typer(no_args_is_help=True)
app.command()(plan)
app.command()(verify)
app.command()(repair)
app.command()(transcode)

_Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of the feature stores.",
        show_default="$RSMTDF_CACHE, else rsmtdf in the user's cache folder",
    ),
]
_Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="The start of a store's name, its teacher's name, or its folder."
    ),
]
_Stores = Annotated[
    list[str],
    typer.Argument(metavar="STORE... DEST", help="Stores as for `info`, then the destination."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Teacher = Annotated[str | None, typer.Option(help="Only the stores of this teacher's name.")]
_Views = Annotated[
    str | None,
    typer.Option(
        metavar="FROM:TO",
        help="Only the shards that hold views of these numbers: 0:4 is views 0 to 3 of every scene.",
    ),
]


@app.callback()
def cache() -> None:
    """List the stores of a cache and their users; pin, delete and move stores."""


@app.command("ls")
def list_stores(cache: _Cache = None, as_json: _Json = False) -> None:
    """List all stores, including unfinished and damaged ones."""
    catalogue = _catalogue(cache)
    if as_json:
        typer.echo(json.dumps([_plain(entry) for entry in catalogue.stores], indent=2))
        return
    columns = ("store", "teacher", "codec", "views", "size", "state", "last used", "kept by")
    shown = table(str(catalogue.cache), *columns)
    for entry in catalogue.stores:
        shown.add_row(
            entry.key,
            entry.label,
            entry.codec,
            f"{entry.views} of {entry.rows}",
            bytes_text(entry.bytes),
            _state(entry),
            f"{_days(entry)} d ago",
            ", ".join(_keepers(entry)) or "-",
        )
    show_rows(shown)
    for entry in catalogue.stores:
        if entry.problem:
            err.print(labeled(f"{entry.key}:", entry.problem, "red"), soft_wrap=True)
    if catalogue.foreign:
        err.print(f"{len(catalogue.foreign)} files and folders here do not belong to the cache")


@app.command()
def info(store: _Store, cache: _Cache = None, as_json: _Json = False) -> None:
    """Print all details of a store, from its scenes to the runs that read it."""
    entry = _entry(_catalogue(cache), store)
    if as_json:
        typer.echo(json.dumps(_plain(entry), indent=2))
        return
    show_entry(entry)


@app.command()
def pin(
    store: _Store,
    cache: _Cache = None,
    note: Annotated[str, typer.Option(help="The reason, for others who share the cache.")] = "",
    group: Annotated[
        bool, typer.Option("--group", help="Pin all stores of these views, later ones too.")
    ] = False,
) -> None:
    """Protect a store from `rsmtdf cache gc`."""
    from rsmtdf_core.cache.usage import pin as set_pin

    catalogue = _catalogue(cache)
    entry = _entry(catalogue, store)
    target = set_pin(catalogue.cache, entry.group if group else entry.key, note).target
    show("pinned", target)


@app.command()
def unpin(
    store: _Store,
    cache: _Cache = None,
    group: Annotated[bool, typer.Option("--group", help="Remove the group's pin.")] = False,
) -> None:
    """Remove a pin."""
    from rsmtdf_core.cache.usage import unpin as remove_pin

    catalogue = _catalogue(cache)
    entry = _entry(catalogue, store)
    target = entry.group if group else entry.key
    remove_pin(catalogue.cache, target)
    show("no longer pinned", target)


@app.command()
def gc(
    cache: _Cache = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Delete stores unused for this long, e.g. 30d."),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Delete the least recently used stores until the rest fit this size, e.g. 200G.",
        ),
    ] = None,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Delete uncommitted and damaged stores."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted; delete nothing.")
    ] = False,
) -> None:
    """Free disk space: delete temporary files of killed processes, and stores by the given options.

    Never deletes a store that is pinned, read by an unfinished run, or being written.
    """
    from pipeline.extract.collect import Limits, collect, parse_age, parse_size

    limits = Limits(
        older_than=parse_age(older_than) if older_than else None,
        max_bytes=parse_size(max_bytes) if max_bytes else None,
        unfinished=unfinished,
        dry=dry_run,
    )
    folder = _folder(cache)
    report = collect(folder, limits)
    shown = table("would be deleted" if report.dry else "deleted", "path", "size", "reason")
    for deleted in report.deleted:
        name = str(deleted.path.relative_to(folder))
        shown.add_row(Text(name, overflow="fold"), bytes_text(deleted.bytes), deleted.why)
    if report.deleted:
        out.print(shown)
    for spared in report.kept:
        name = str(spared.path.relative_to(folder))
        err.print(Text(f"kept {name}: {spared.why}"), soft_wrap=True)
    verb = "would be freed" if report.dry else "freed"
    out.print(f"{bytes_text(report.freed)} {verb}, stores take {bytes_text(report.left)}")
    if max_bytes and limits.max_bytes is not None and report.left > limits.max_bytes:
        err.print(f"this is more than {max_bytes}: the remaining stores are in use", style="yellow")
        raise typer.Exit(1)


@app.command()
def du(cache: _Cache = None) -> None:
    """Show the disk usage by group of views, teacher and codec."""
    catalogue = _catalogue(cache)
    total = sum(entry.bytes for entry in catalogue.stores)
    keys: dict[str, Callable[[StoreEntry], str]] = {
        "views": lambda entry: entry.group,
        "teacher": lambda entry: entry.label,
        "codec": lambda entry: entry.codec,
    }
    for name, key in keys.items():
        parts: dict[str, list[StoreEntry]] = defaultdict(list)
        for entry in catalogue.stores:
            parts[key(entry)].append(entry)
        shown = table("", name, "stores", "views", "size", "share %")
        shown.title = None
        by_size = sorted(parts.items(), key=lambda part: -sum(entry.bytes for entry in part[1]))
        for label, entries in by_size:
            size = sum(entry.bytes for entry in entries)
            share = f"{100 * size / total:.1f}" if total else "-"
            views = sum(entry.views for entry in entries)
            shown.add_row(label, str(len(entries)), str(views), bytes_text(size), share)
        out.print(shown)
    show(bytes_text(total), f"in {catalogue.cache}")


@app.command("export")
def export_(
    stores: _Stores, cache: _Cache = None, teacher: _Teacher = None, views: _Views = None
) -> None:
    """Copy stores as plain files to a folder, or to an address like s3://bucket/folder.

    With --teacher, name only the destination. The export can be read as a cache. Stores of earlier exports
    stay. An export is resumable.
    """
    from pipeline.cache.transfer.exporting import export_stores
    from pipeline.cache.transfer.parts import parse_views
    from rsmtdf_core.errors import StoreNotFoundError

    *names, destination = stores
    catalogue = _catalogue(cache)
    chosen = [_entry(catalogue, name) for name in names]
    if teacher is not None:
        of_teacher = [entry for entry in catalogue.stores if entry.teacher == teacher]
        chosen = [entry for entry in chosen if entry in of_teacher] if names else of_teacher
    entries = {entry.path: entry for entry in chosen}
    if not entries:
        raise StoreNotFoundError("no store to export", remedy="rsmtdf cache export STORE... DEST")
    report = export_stores(
        [entry.opened() for entry in entries.values()],
        destination,
        parse_views(views) if views else None,
        RichReporter(),
    )
    out.print(
        f"exported {report.views} records of {len(report.stores)} stores: {report.files} files, "
        f"{bytes_text(report.bytes)}; {report.there} files already existed",
    )
    show_command("import them", "rsmtdf", "cache", "import", destination)


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder, or an address: s3://, https://.")
    ],
    cache: _Cache = None,
    teacher: _Teacher = None,
    views: _Views = None,
) -> None:
    """Copy stores from an export into the cache; each file is checked on arrival.

    Existing files are not fetched again, so an import is resumable.
    """
    from pipeline.cache.transfer.importing import import_stores
    from pipeline.cache.transfer.parts import parse_views

    chosen = parse_views(views) if views else None
    report = import_stores(source, _folder(cache), teacher, chosen, RichReporter())
    out.print(
        f"imported {report.views} records of {len(report.stores)} stores: {report.files} files, "
        f"{bytes_text(report.bytes)}; {report.there} files already existed",
    )
    for name in report.stores:
        show("store", name)


def _folder(cache: Path | None) -> Path:
    return read_runtime(cache).cache_folder


def _catalogue(cache: Path | None) -> "Catalogue":
    from rsmtdf_core.cache.catalogue import read_catalogue

    return read_catalogue(_folder(cache))


def _entry(catalogue: "Catalogue", name: str) -> "StoreEntry":
    from rsmtdf_core.cache.catalogue import find_entry

    return find_entry(catalogue, name)


def _state(entry: "StoreEntry") -> Text:
    style = {"committed": "green", "unfinished": "yellow", "damaged": "bold red"}[entry.state]
    return Text(entry.state, style=style)


def _days(entry: "StoreEntry") -> str:
    return f"{max(0.0, time.time() - entry.last_used) / 86400:.1f}"


def _keepers(entry: "StoreEntry") -> list[str]:
    running = sum(run.locks for run in entry.runs)
    pins = [f"pin ({pin.note})" if pin.note else "pin" for pin in entry.pins]
    plural = "s" if running > 1 else ""
    return pins + ([f"{running} unfinished run{plural}"] if running else [])


def _plain(entry: "StoreEntry") -> dict[str, object]:
    return {
        "store": entry.key,
        "path": str(entry.path.absolute()),
        "teacher": entry.teacher,
        "random_weights": entry.random_weights,
        "codec": entry.codec,
        "state": entry.state,
        "problem": entry.problem,
        "views": entry.views,
        "rows": entry.rows,
        "bytes": entry.bytes,
        "seconds": entry.seconds,
        "last_used": entry.last_used,
        "certificate": entry.certificate,
        "pins": [{"target": pin.target, "note": pin.note} for pin in entry.pins],
        "runs": [{"run": r.run, "host": r.host, "finished": r.finished} for r in entry.runs],
    }
