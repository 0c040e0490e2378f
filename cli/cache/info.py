"""Print the provenance of one store as a tree (tests: test_commands.py)."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.tree import Tree

from cli.console import Text, out, table
from rsmtdf_core.words import bytes_text

if TYPE_CHECKING:
    from rsmtdf_core.cache.catalogue import StoreEntry
    from rsmtdf_core.store.store import FeatureStore


def show_entry(entry: "StoreEntry") -> None:
    """Print a store's scenes, views, teacher, codec, certificate, cost, pins and runs."""
    title = Text(entry.key, style="bold")
    if entry.random_weights:
        title.append("  RANDOM WEIGHTS", style="bold yellow")
    tree = Tree(title)
    tree.add(f"state: {entry.state}" + (f" ({entry.problem})" if entry.problem else ""))
    if entry.store is not None:
        _add_views(tree, entry)
        _add_teacher(tree, entry.store)
        _add_codec(tree, entry)
    _add_cost(tree, entry)
    pins = tree.add("pins" if entry.pins else "pins: none")
    for pin in entry.pins:
        pins.add(Text(f"{pin.target}, {_date(pin.time)}{f': {pin.note}' if pin.note else ''}"))
    runs = tree.add("runs" if entry.runs else "runs: none registered")
    for run in entry.runs:
        state = "finished" if run.finished else "unfinished"
        runs.add(Text(f"{run.run} on {run.host}: {state}, last started {_date(run.began)}"))
    out.print(tree)


def _add_views(tree: Tree, entry: "StoreEntry") -> None:
    assert entry.store is not None
    group = entry.store.group
    ids = [key.id for key in group.scenes]
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    tree.add(Text(f"scenes: {len(ids)} ({', '.join(ids[:3])}{more})"))
    _add_mapping(tree.add("views are drawn with"), group.drawing)
    table = group.table[group.table["scene"] >= 0]
    labeled = int(table["labeled"].sum())
    most = int(table["number"].max()) + 1 if len(table) else 0
    tree.add(
        f"views: {entry.views} of the group's {entry.rows} "
        f"({labeled} labeled, {len(table) - labeled} unlabeled, up to {most} per scene)"
    )


def _add_teacher(tree: Tree, store: "FeatureStore") -> None:
    shape, metadata = store.shape, store.metadata
    grid = f"{shape.height} x {shape.width} tokens of {shape.channels} channels"
    words = " RANDOM WEIGHTS" if metadata.random_weights else ""
    teacher = tree.add(Text(f"teacher: {shape.teacher}, {grid}{words}"))
    _add_mapping(teacher, metadata.identity)


def _add_codec(tree: Tree, entry: "StoreEntry") -> None:
    assert entry.store is not None
    store = entry.store
    branch = tree.add(
        f"codec: {store.codec.label}{'' if store.facts.kind.lossless else ' (lossy)'}"
    )
    _add_mapping(branch, store.metadata.codec)
    for name, array in sorted(store.facts.parameters.items()):
        branch.add(f"{name}: {array.dtype} {list(array.shape)}")
    if entry.certificate:
        against = (
            "the teacher's tokens"
            if store.metadata.source is None
            else "the decoded tokens of the store it was transcoded from"
        )
        tree.add(f"certificate, against {against}").add(_certificate(entry))
    else:
        tree.add("certificate: none")
    if store.metadata.source is not None:
        _add_mapping(tree.add("transcoded from"), store.metadata.source)


def _certificate(entry: "StoreEntry") -> Table:
    certificate = entry.certificate
    rows = table("", "", "mean", "1st percentile", "minimum")
    rows.title = None
    for key, label in (("cosine", "cosine"), ("centred_cosine", "mean-centred cosine")):
        cosines = certificate.get(key)
        if isinstance(cosines, dict):
            rows.add_row(label, *(_number(cosines.get(name)) for name in ("mean", "p1", "min")))
    rows.add_row("relative error", _number(certificate.get("relative_error")), "", "")
    rows.add_row("measured tokens", str(certificate.get("tokens", "-")), "", "")
    return rows


def _add_cost(tree: Tree, entry: "StoreEntry") -> None:
    a_view = f", {bytes_text(entry.bytes / entry.views)} per view" if entry.views else ""
    speed = f", {1000 * entry.seconds / entry.views:.1f} ms per view" if entry.views else ""
    cost = tree.add("cost")
    cost.add(f"{bytes_text(entry.bytes)} on disk{a_view}")
    cost.add(f"{entry.seconds:.1f} s of extraction{speed}")
    cost.add(f"last used {_date(entry.last_used)}")


def _add_mapping(tree: Tree, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _add_mapping(tree.add(Text(key)), value)
        else:
            tree.add(Text(f"{key}: {value}"))


def _number(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, int | float) else "-"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
