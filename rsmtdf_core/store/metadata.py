"""A store's metadata: `zarr.json`, and the seal that reveals a changed file.

This module writes the files, not zarr-python, so that a store has the same bytes under every version
of that library; zarr-python can read them. On opening, the document is rebuilt from its few facts and
compared as a whole, so that no field can contradict another.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsmtdf_core.cache_names import COMMIT, LEDGER
from rsmtdf_core.codecs import Codec, Declared, Parameters, make_codec
from rsmtdf_core.errors import (
    ConfigError,
    RsmtdfError,
    StoreDamagedError,
    StoreMismatchError,
)
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import differences, fingerprint
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.kinds import CODECS, CodecKind
from rsmtdf_core.store.copies import copy_of, is_there
from rsmtdf_core.store.parameters import PARAMETERS, read_parameters
from rsmtdf_core.store.shards import damage
from rsmtdf_core.store.tables import SEGMENT_ROWS
from rsmtdf_core.tokens import TokenShape

FORMAT = FileFormat("store")
EXTRACT = "rsmtdf extract-features CONFIG"
ZARR = "zarr.json"
_MAX_SIZE = 2**31
_MAX_NUMBERS = 2**31
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CRC32C = {"name": "crc32c"}
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclass(frozen=True)
class StoreMetadata:
    """A store's facts.

    Attributes:
        rows: length of the array, a multiple of `SEGMENT_ROWS`.
        shard_records: records per shard, a power of two up to `SEGMENT_ROWS`.
        identity: the teacher's identity (JSON).
        shape: shape of one record; its `teacher` is the teacher's name at extraction.
        codec: the declared codec.
        parameters_sha256: digest of the file with the codec's parameters.
        probe: the teacher's output on the fixed probe image at extraction.
        random_weights: True if the teacher was never trained, so that results can be marked.
        source: codec and certificate of the store that the records were transcoded from; None if
            the teacher made them.
    """

    rows: int
    shard_records: int
    identity: dict[str, Any]
    shape: TokenShape
    codec: Declared
    parameters_sha256: str
    probe: tuple[float, ...]
    random_weights: bool
    source: dict[str, Any] | None = None


@dataclass(frozen=True)
class StoreFacts:
    """A store's metadata with what its codec needs.

    Attributes:
        metadata: the store's metadata.
        parameters: the codec's fitted parameters, and the channels' `mean` and `std`.
        codec: the codec with these parameters.
    """

    metadata: StoreMetadata
    parameters: Parameters
    codec: Codec

    @classmethod
    def of(cls, metadata: StoreMetadata, parameters: Parameters) -> "StoreFacts":
        """Return the facts with the codec built from the parameters."""
        codec = make_codec(metadata.codec, metadata.shape.record_shape, parameters)
        return cls(metadata, parameters, codec)

    @property
    def kind(self) -> CodecKind:
        """The registry's row for the codec."""
        return CODECS[self.metadata.codec["name"]]

    @property
    def folder_name(self) -> str:
        """`<teacher>-<address>-<codec>`; the address depends only on the identity."""
        name = self.metadata.shape.teacher
        assert _NAME.fullmatch(name), name
        return f"{name}-{store_suffix(self.metadata.identity, self.codec.label)}"


def store_suffix(identity: dict[str, Any], label: str) -> str:
    """Return the part of a store's folder name after the teacher's name."""
    return f"{fingerprint(identity)[:12]}-{label}"


def read_attributes(
    kind: FileFormat, path: Path, absent: type[RsmtdfError]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the document at `path` and its unsealed attributes; raise `absent` for a missing file."""
    document = read_json(path, StoreDamagedError if path.exists() or path.is_symlink() else absent)
    attributes = document.get("attributes")
    sealed = attributes.get("rsmtdf") if isinstance(attributes, dict) else None
    return document, kind.unsealed(sealed, path)


def write_metadata(store: Path, facts: StoreFacts) -> None:
    """Write the `zarr.json` of a store atomically; the copy comes first."""
    write_json(copy_of(store / ZARR), _document(facts))
    write_json(store / ZARR, _document(facts))


def read_metadata(store: Path, absent: type[RsmtdfError]) -> StoreFacts:
    """Read and check the `zarr.json` and the parameters of a store.

    Raises:
        RsmtdfError: Of type `absent`, if there is no store.
        StoreDamagedError: If a field is damaged or contradicts another.
        StoreMismatchError: If the file has a format that this version does not know.
    """
    for folder in (store, store / "c"):
        if folder.is_symlink():
            raise damage(folder, "this is a symbolic link, not a folder of the store")
    if not is_there(store / ZARR) and has_records(store):
        absent = StoreDamagedError
    return read_facts(store, store / ZARR, store / PARAMETERS, absent)


def has_records(store: Path) -> bool:
    """Return whether the folder has files of records, which cannot be decoded without `zarr.json`."""
    names = ("c", LEDGER, COMMIT)
    return any(is_there(path) for name in names for path in (store / name, copy_of(store / name)))


def read_facts(
    store: Path, path: Path, parameters_path: Path, absent: type[RsmtdfError]
) -> StoreFacts:
    """Read metadata like `read_metadata`, from the given files: the store's or their copies."""
    document, attributes = read_attributes(FORMAT, path, absent)
    try:
        metadata = _parse(document, attributes)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as wrong:
        raise damage(path, f"the store's metadata cannot be read: {wrong!r}") from None
    parameters = read_parameters(parameters_path, metadata.parameters_sha256)
    try:
        facts = StoreFacts.of(metadata, parameters)
        _check_statistics(facts)
        written = _document(facts)
    except ConfigError as unknown:
        raise StoreMismatchError(unknown.what, where=path, remedy=unknown.remedy) from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as wrong:
        raise damage(path, f"the codec cannot be built: {wrong!r}") from None
    try:
        changed = next(differences(written, document), None)
    except RecursionError:
        changed = "it is nested too deeply"
    if changed is None and store.name != facts.folder_name:
        changed = f"folder name: expected {facts.folder_name}, found {store.name}"
    if changed is not None:
        raise damage(path, f"the store's metadata is inconsistent: {changed}")
    return facts


def _check_statistics(facts: StoreFacts) -> None:
    """Refuse parameters without the channels' statistics; a store of pixels has none."""
    shape = facts.metadata.shape
    for name in ("mean", "std") if facts.kind.holds == "tokens" else ():
        statistic = facts.parameters[name]
        if statistic.shape != (shape.channels,) or statistic.dtype != np.float32:
            raise ValueError(f"the parameter {name} is malformed")


def _parse(document: dict[str, Any], attributes: dict[str, Any]) -> StoreMetadata:
    shape = TokenShape(**attributes["shape"])
    metadata = StoreMetadata(
        rows=document["shape"][0],
        shard_records=document["chunk_grid"]["configuration"]["chunk_shape"][0],
        identity=attributes["identity"],
        shape=shape,
        codec=attributes["codec"],
        parameters_sha256=attributes["parameters_sha256"],
        probe=tuple(attributes["probe"]),
        random_weights=attributes["random_weights"],
        source=attributes["source"],
    )
    numbers = [metadata.rows, metadata.shard_records, *shape.record_shape]
    if shape.input_size is not None:
        numbers.append(shape.input_size)
    if any(type(number) is not int or not 1 <= number <= _MAX_SIZE for number in numbers):
        raise ValueError(f"sizes must be integers from 1 to {_MAX_SIZE}")
    if metadata.rows % SEGMENT_ROWS:
        raise ValueError(f"{metadata.rows} rows are not whole segments of {SEGMENT_ROWS}")
    if SEGMENT_ROWS % metadata.shard_records:
        raise ValueError(f"{metadata.shard_records} records per shard do not divide {SEGMENT_ROWS}")
    if shape.height * shape.width * shape.channels > _MAX_NUMBERS:
        raise ValueError(f"a record of {shape.record_shape} is too large")
    if not isinstance(metadata.codec, dict):
        raise TypeError("the codec is malformed")
    if not _NAME.fullmatch(shape.teacher) or not isinstance(metadata.identity, dict):
        raise ValueError("the teacher's name or identity is malformed")
    if not all(math.isfinite(number) for number in metadata.probe):
        raise ValueError("the probe is not a list of finite numbers")
    return metadata


def _document(facts: StoreFacts) -> dict[str, Any]:
    """Return the array's `zarr.json`; an absent record reads as NaN or as a number that no codec writes."""
    metadata, codec = facts.metadata, facts.codec
    shape = metadata.shape
    attributes = {
        "identity": metadata.identity,
        "shape": {
            "teacher": shape.teacher,
            "height": shape.height,
            "width": shape.width,
            "channels": shape.channels,
            "input_size": shape.input_size,
        },
        "codec": metadata.codec,
        "parameters_sha256": metadata.parameters_sha256,
        "probe": list(metadata.probe),
        "random_weights": metadata.random_weights,
        "source": metadata.source,
    }
    sharding = {
        "chunk_shape": [1, *codec.stored_shape],
        "codecs": [_LITTLE, *codec.filters, _CRC32C],
        "index_codecs": [_LITTLE, _CRC32C],
        "index_location": "end",
    }
    chunk_shape = [metadata.shard_records, *codec.stored_shape]
    grid = ["row", "column", "channel"] if len(codec.stored_shape) == 3 else ["byte"]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [metadata.rows, *codec.stored_shape],
        "data_type": codec.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _absent(codec.dtype),
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["view", *grid],
        "attributes": {"rsmtdf": FORMAT.sealed(attributes)},
    }


def _absent(dtype: np.dtype[Any]) -> int | str:
    """Return the fill value of absent records: NaN, the int8 that no codec writes, or all bits set."""
    if dtype.kind == "f":
        return "NaN"
    return int(np.iinfo(dtype).min) if dtype.kind == "i" else int(np.iinfo(dtype).max)
