"""Transcode a store's records to another codec; needs neither the teacher nor a GPU."""

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
from rsmtdf_core.codecs import Declared, Tokens
from rsmtdf_core.errors import ConfigError, StoreError, StoreIncompleteError, StoreMismatchError
from rsmtdf_core.files import require_writable_folder
from rsmtdf_core.kinds import TOKEN_CODECS
from rsmtdf_core.settings import Settings
from rsmtdf_core.store.ledger import LedgerEntry
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block

_SAMPLE = 32
_WAITING = "another process is writing to this store: waiting for it to end"


class TranscodeReport(Settings):
    """The report of a transcoding.

    Attributes:
        store: `<group>/<store>` of the new store.
        path: its folder.
        views: number of records that it holds.
        new: number of records that this call added.
        bytes: size of its shards.
        source_bytes: size of the source's shards.
        seconds: wall time.
        certificate: of the new store; transcoded tokens are compared with the source's decoded tokens.
        warning: the earlier loss; empty if the source is lossless.
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
    """Transcode a committed store into a store of another codec; resumable after a kill.

    Args:
        source: the store to read.
        codec: the codec of the new store.
        reporter: shows progress, and warns if the source is already lossy.
        shard_bytes: target size of a shard in the new store.

    Raises:
        ConfigError: If the source holds pixels, or already has this codec.
        StoreIncompleteError: If the source was never committed.
        StoreMismatchError: If an unfinished store of this codec has other tokens.
        StoreDamagedError: If a record is damaged.
        StoreError: If the disk is too small for the result.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    certificate = _require_source(source, codec)
    require_writable_folder(source.group.path)
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
    commit = target.read_commit()
    assert commit is not None
    return TranscodeReport(
        store=store_key(target.path),
        path=target.path,
        views=commit.views,
        new=len(missing),
        bytes=_size(target),
        source_bytes=_size(source),
        seconds=time.perf_counter() - began,
        certificate=commit.certificate,
        warning=warning,
    )


def _require_source(source: FeatureStore, codec: Declared) -> dict[str, Any]:
    """Return the source's certificate, or refuse a source that cannot be transcoded."""
    source.require_tokens()
    if codec["name"] not in TOKEN_CODECS:
        raise ConfigError(
            f"the codec {codec['name']} is for pixels",
            remedy=f"use --codec with one of: {', '.join(TOKEN_CODECS)}",
        )
    if codec == source.metadata.codec:
        raise ConfigError(
            f"the store already has the codec {source.codec.label}",
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
    """Write the missing records and commit; return the rows that were written."""
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
    """Return whether the target is a transcoding of the source."""
    origin = target.metadata.source
    return origin is not None and origin["codec"] == source.metadata.codec


def _not_ours(target: FeatureStore) -> StoreMismatchError:
    source = target.metadata.source
    origin = "the teacher" if source is None else f"a store in {source['codec']['name']}"
    return StoreMismatchError(
        f"an unfinished store in {target.codec.label} already holds records from {origin}: transcoding "
        "would mix records of two kinds",
        where=target.path,
        remedy=f"complete it: {EXTRACT}; or move it away: {set_aside_command(target.path)}",
    )


def _has_loss(store: FeatureStore) -> bool:
    """Return whether its tokens differ from the teacher's by more than half precision."""
    source = store.metadata.source
    return not store.facts.kind.lossless or (source is not None and bool(source["lossy"]))


def _warning(source: FeatureStore, target: FeatureStore) -> str:
    if not _has_loss(source):
        return ""
    if not target.facts.kind.lossless:
        return (
            f"the source is already lossy: {target.codec.label} adds its loss to that of "
            f"{source.codec.label}; the certificate covers only the last step"
        )
    return (
        f"{target.codec.label} keeps the tokens as {source.codec.label} had reduced them, not the "
        "teacher's; the certificate covers only the last step"
    )


def _check_space(target: FeatureStore, records: int) -> None:
    needed, free = records * target.codec.typical_bytes, shutil.disk_usage(target.path).free
    if needed > free:
        raise StoreError(
            f"the new store needs {needed / 2**30:.1f} GiB, but only {free / 2**30:.1f} GiB are free on the disk",
            where=target.path,
            remedy="free disk space: rsmtdf cache gc",
        )


def _size(store: FeatureStore) -> int:
    return sum(entry.summary.bytes for entry in store.entries().values())
