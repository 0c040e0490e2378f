"""Find the store that holds an experiment's features, without loading its teacher."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsmtdf_core.cache.group import require_group
from rsmtdf_core.cache_names import STORE_NAME
from rsmtdf_core.codecs import Declared
from rsmtdf_core.errors import StoreError, StoreMismatchError, StoreNotFoundError
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.store.copies import is_there
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.metadata import EXTRACT, ZARR, has_records
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.plan import ViewPlan

_WEIGHTS = "weights_sha256"
_NEAREST = 2


def find_store(
    cache: Path, plan: ViewPlan, declared_identity: Mapping[str, Any], codec: Declared
) -> FeatureStore:
    """Return the store that holds every view of the plan for this teacher and codec.

    If the machine does not have the weights, `declared_identity` has None as `weights_sha256`. The
    search then returns the only committed store that agrees in all other fields.

    Raises:
        StoreNotFoundError: If there is no such store; the message lists how existing stores differ.
        StoreMismatchError: If stores of several weights agree.
        StoreIncompleteError: If the store lacks views or was never committed.
        StoreDamagedError: If a file of the store is damaged.
    """
    group = require_group(cache, plan)
    stores, damaged = _stores(group)
    agreeing = [
        store
        for store in stores
        if store.metadata.codec == codec
        and not any(_disagreements(declared_identity, store.metadata.identity))
    ]
    committed = [store for store in agreeing if store.read_commit() is not None]
    candidates = committed or agreeing
    if not candidates:
        raise _not_found(group, stores, damaged, declared_identity, codec)
    if any(store.metadata.identity != candidates[0].metadata.identity for store in candidates):
        listed = [f"{s.metadata.identity[_WEIGHTS]} ({s.path.name})" for s in candidates]
        raise StoreMismatchError(
            f"stores of {len(listed)} different weights agree: {', '.join(listed)}",
            where=group.path,
            remedy="set the teacher's `weights_sha256` in the config to one of them",
        )
    candidates[0].require(plan)
    return candidates[0]


def _stores(group: ViewGroup) -> tuple[list[FeatureStore], list[StoreError]]:
    """Return the stores of the group with readable metadata, and the errors of the others."""
    stores, damaged = [], []
    for path in sorted(group.path.iterdir()):
        if not STORE_NAME.fullmatch(path.name) or not (is_there(path / ZARR) or has_records(path)):
            continue
        try:
            stores.append(FeatureStore.open(path, group))
        except StoreError as wrong:
            damaged.append(wrong)
    return stores, damaged


def _disagreements(declared: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    expected = dict(declared)
    if expected.get(_WEIGHTS) is None:
        expected[_WEIGHTS] = stored.get(_WEIGHTS)
    return differences(expected, dict(stored))


def _not_found(
    group: ViewGroup,
    stores: list[FeatureStore],
    damaged: list[StoreError],
    declared: Mapping[str, Any],
    codec: Declared,
) -> StoreNotFoundError:
    ranked = []
    for store in stores:
        wrong = list(_disagreements(declared, store.metadata.identity))
        wrong += differences(codec, store.metadata.codec, "codec")
        ranked.append((len(wrong), f"{store.path.name} ({'; '.join(wrong)})"))
    nearest = [line for _, line in sorted(ranked)[:_NEAREST]]
    more = f" and {len(ranked) - _NEAREST} that differ more" if len(ranked) > _NEAREST else ""
    others = f"the nearest: {', '.join(nearest)}{more}" if nearest else "there is none"
    others += "".join(f"; {error.where} cannot be read: {error.what}" for error in damaged)
    return StoreNotFoundError(
        f"no store has this teacher's features in {codec['name']}; {others}",
        where=group.path,
        remedy=damaged[0].remedy if damaged else f"extract them: {EXTRACT}; or undo the difference",
    )
