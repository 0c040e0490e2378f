"""A store's records in another codec, from the records alone: neither teacher nor GPU is needed."""

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cache.verify.files import present_rows
from pipeline.cache.verify.views import spread
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.creation import SHARD_BYTES, create_store
from rsmtdf_core.cache.usage import store_key
from rsmtdf_core.cache_names import set_aside_command
from rsmtdf_core.errors import ConfigError, StoreError, StoreIncompleteError, StoreMismatchError
from rsmtdf_core.kinds import CODECS, TOKEN_CODECS
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.codecs import Declared, Tokens
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block

_SAMPLE = 32
_WAITING = "another process is writing here: waiting until it has ended"


class TranscodeReport(Settings):
    """What a transcoding did.

    Attributes:
        store: `<group>/<store>` of the new store.
        path: its folder.
        views: records that it holds.
        new: how many of them were made now.
        bytes: size of its shards.
        source_bytes: size of the shards that they come from.
        seconds: wall time.
        certificate: of the new store; against the source's decoded tokens where these were transcoded.
        warning: what was lost before; empty where the source is not lossy.
    """

    store: str
    path: Path
    views: int
    new: int
    bytes: int
    source_bytes: int
    seconds: float
    certificate: dict[str, Any]
    warning: str


def transcode(
    source: FeatureStore,
    codec: Declared,
    reporter: Reporter | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> TranscodeReport:
    """Make the store of another codec beside a committed one; started again after a kill it goes on.

    Args:
        source: whose records are taken.
        codec: of the new store.
        reporter: shows progress, and warns of losses that are there already.
        shard_bytes: the most that a new store's shard should have.

    Raises:
        ConfigError: where the source holds pixels, or has this codec already.
        StoreIncompleteError: where it was never committed.
        StoreMismatchError: where an unfinished store of this codec has other tokens.
        StoreDamagedError: where a record is not what was written.
        StoreError: where the disk cannot hold the result.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    certificate = _require_source(source, codec)
    rows = present_rows(source)
    reader = FeatureReader(source, np.arange(source.metadata.rows), check="always")

    def sample() -> Tokens:
        return np.stack([reader.tokens(row) for row in spread(rows, _SAMPLE).tolist()])

    origin = {
        "codec": source.metadata.codec,
        "certificate": certificate,
        "lossy": _has_loss(source),
        "source": source.metadata.source,
    }
    target = create_store(
        source.group,
        source.metadata.identity,
        source.shape,
        codec,
        sample,
        probe=source.metadata.probe,
        random_weights=source.metadata.random_weights,
        source=origin,
        shard_bytes=shard_bytes,
    )
    warning = _warning(source, target) if _is_from(target, source) else ""
    if warning:
        reporter.warn(warning)
    missing = _fill(source, target, reader, rows, reporter)
    found = target.read_commit()
    assert found is not None
    return TranscodeReport(
        store=store_key(target.path),
        path=target.path,
        views=found.views,
        new=len(missing),
        bytes=_size(target),
        source_bytes=_size(source),
        seconds=time.perf_counter() - began,
        certificate=found.certificate,
        warning=warning,
    )


def _require_source(source: FeatureStore, codec: Declared) -> dict[str, Any]:
    """The source's certificate."""
    if source.holds == "pixels":
        raise ConfigError(
            "pixels are stored as they are and have no other codec",
            where=source.path,
            remedy="name a store of tokens: rsmtdf cache ls",
        )
    if CODECS[codec["name"]].holds == "pixels":
        raise ConfigError(
            f"{codec['name']} is for pixels", remedy=f"use one of: {', '.join(TOKEN_CODECS)}"
        )
    if codec == source.metadata.codec:
        raise ConfigError(
            f"the store is in {source.codec.label} already",
            where=source.path,
            remedy="name another --codec or --quality",
        )
    commit = source.read_commit()
    if commit is None:
        raise StoreIncompleteError(
            "only a committed store can be transcoded", where=source.path, remedy=EXTRACT
        )
    return commit.certificate


def _fill(
    source: FeatureStore,
    target: FeatureStore,
    reader: FeatureReader,
    rows: Rows,
    reporter: Reporter,
) -> Rows:
    """Make what is missing and commit; the rows that were made."""
    began = time.perf_counter()
    with target.writing(lambda: reporter.say(_WAITING)):
        if not _is_from(target, source):
            missing = target.missing_rows(rows)
            if len(missing) or target.read_commit() is None:
                raise _not_ours(target)
            return missing
        target.adopt()
        missing = target.missing_rows(rows)
        if not len(missing) and target.read_commit() is not None:
            return missing
        _check_space(target, len(missing))
        wanted = np.zeros(target.metadata.rows, np.bool_)
        wanted[missing] = True

        def records(block: range) -> Iterator[Tokens | None]:
            return (reader.tokens(row) if wanted[row] else None for row in block)

        def write(block: range) -> list[LedgerEntry]:
            return write_block(target.path, block, records(block))

        label = f"transcode to {target.codec.label}"
        blocks = target.blocks(missing)
        with (
            reporter.bar(label, len(rows), len(rows) - len(missing)) as bar,
            ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        ):
            try:
                for block, entries in zip(blocks, pool.map(write, blocks), strict=True):
                    target.append(entries)
                    bar.advance(int(wanted[block.start : block.stop].sum()))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        target.commit(rows, time.perf_counter() - began)
    return missing


def _is_from(target: FeatureStore, source: FeatureStore) -> bool:
    """Whether the target's records are, or are to be, those of the source in another codec."""
    origin = target.metadata.source
    return origin is not None and origin["codec"] == source.metadata.codec


def _not_ours(target: FeatureStore) -> StoreMismatchError:
    origin = target.metadata.source
    made = (
        "the teacher made" if origin is None else f"was transcoded from {origin['codec']['name']}"
    )
    return StoreMismatchError(
        f"there is an unfinished store in {target.codec.label} already, which {made}: records of two "
        "kinds would be in one store",
        where=target.path,
        remedy=f"complete it: {EXTRACT}; or move it away: {set_aside_command(target.path)}",
    )


def _has_loss(store: FeatureStore) -> bool:
    """Whether its tokens are no longer the teacher's to half precision."""
    source = store.metadata.source
    return not store.facts.kind.lossless or (source is not None and bool(source["lossy"]))


def _warning(source: FeatureStore, target: FeatureStore) -> str:
    if not _has_loss(source):
        return ""
    if not target.facts.kind.lossless:
        return (
            f"a step down was taken from an already lossy store: {target.codec.label} loses more than "
            f"{source.codec.label} had lost; the certificate tells only of the last step"
        )
    return (
        f"{target.codec.label} keeps what {source.codec.label} had left, not what the teacher said; "
        "the certificate tells only of the last step"
    )


def _check_space(target: FeatureStore, records: int) -> None:
    needed, free = records * target.codec.typical_bytes, shutil.disk_usage(target.path).free
    if needed > free:
        raise StoreError(
            f"the new store needs {needed / 2**30:.1f} GiB, the disk has {free / 2**30:.1f} GiB left",
            where=target.path,
            remedy="free some: rsmtdf cache gc",
        )


def _size(store: FeatureStore) -> int:
    return sum(entry.summary.bytes for entry in store.entries().values())
