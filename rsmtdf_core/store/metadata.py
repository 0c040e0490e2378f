"""What a store says about itself: `zarr.json`, and the seal that shows that a file was changed.

The files are written here, not by zarr-python, so that the same store has the same bytes under
every version of that library; zarr-python reads them. On opening, the document is rebuilt from the
few facts it carries and compared whole, so that no field can lie about sizes.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsmtdf_core.cache_names import COMMIT, LEDGER
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
from rsmtdf_core.store.codecs import Codec, Declared, Parameters, make_codec
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
        shard_records: records a shard has room for, a power of two up to `SEGMENT_ROWS`.
        identity: the teacher's identity (JSON).
        shape: what one record holds; its `teacher` is the name under which the store was made.
        codec: the declared codec.
        parameters_sha256: of the file with what the codec fitted.
        probe: the teacher's output on the fixed probe image when the store was made.
        random_weights: True where the teacher never was trained, so that results say so.
        source: where the records were transcoded from: that store's codec and certificate; None where
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
        metadata: the facts.
        parameters: what the codec fitted, and the channels' `mean` and `std`.
        codec: made from both.
    """

    metadata: StoreMetadata
    parameters: Parameters
    codec: Codec

    @classmethod
    def of(cls, metadata: StoreMetadata, parameters: Parameters) -> "StoreFacts":
        """Make the codec."""
        codec = make_codec(metadata.codec, metadata.shape.record_shape, parameters)
        return cls(metadata, parameters, codec)

    @property
    def kind(self) -> CodecKind:
        """The row of the codec."""
        return CODECS[self.metadata.codec["name"]]

    @property
    def folder_name(self) -> str:
        """`<teacher>-<address>-<codec>`; the address comes from the identity alone."""
        name = self.metadata.shape.teacher
        assert _NAME.fullmatch(name), name
        return f"{name}-{store_suffix(self.metadata.identity, self.codec.label)}"


def store_suffix(identity: dict[str, Any], label: str) -> str:
    """What follows the teacher's name in the name of a store's folder."""
    return f"{fingerprint(identity)[:12]}-{label}"


def read_attributes(
    kind: FileFormat, path: Path, absent: type[RsmtdfError]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document at `path` and its unsealed attributes; `absent` is raised for a missing file."""
    document = read_json(path, StoreDamagedError if path.exists() or path.is_symlink() else absent)
    attributes = document.get("attributes")
    own = attributes.get("rsmtdf") if isinstance(attributes, dict) else None
    return document, kind.unsealed(own, path)


def write_metadata(store: Path, facts: StoreFacts) -> None:
    """Write the `zarr.json` of the store at `store`, atomically; the copy comes first."""
    write_json(copy_of(store / ZARR), _document(facts))
    write_json(store / ZARR, _document(facts))


def read_metadata(store: Path, absent: type[RsmtdfError]) -> StoreFacts:
    """Read and check the `zarr.json` and the parameters of the store at `store`.

    Raises:
        RsmtdfError: of type `absent` where there is none.
        StoreDamagedError: where a field is not what was written or lies about another.
        StoreMismatchError: where it is of a format that this version does not know.
    """
    for folder in (store, store / "c"):
        if folder.is_symlink():
            raise damage(folder, "this is a symbolic link, not a folder of the store")
    if not is_there(store / ZARR) and has_records(store):
        absent = StoreDamagedError
    return read_facts(store, store / ZARR, store / PARAMETERS, absent)


def has_records(store: Path) -> bool:
    """Whether anything in the folder belongs to records: without `zarr.json` nobody knows how to decode these."""
    names = ("c", LEDGER, COMMIT)
    return any(is_there(path) for name in names for path in (store / name, copy_of(store / name)))


def read_facts(
    store: Path, path: Path, parameters_path: Path, absent: type[RsmtdfError]
) -> StoreFacts:
    """As `read_metadata`, from the files given: those of the store or their copies."""
    document, own = read_attributes(FORMAT, path, absent)
    try:
        metadata = _parse(document, own)
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
        raise damage(path, f"the codec cannot be made: {wrong!r}") from None
    try:
        changed = next(differences(written, document), None)
    except RecursionError:
        changed = "it is nested too deep"
    if changed is None and store.name != facts.folder_name:
        changed = f"folder name: expected {facts.folder_name}, found {store.name}"
    if changed is not None:
        raise damage(path, f"the store's metadata is inconsistent: {changed}")
    return facts


def _check_statistics(facts: StoreFacts) -> None:
    """Refuse parameters without the channels' statistics; pixels have none."""
    shape = facts.metadata.shape
    for name in ("mean", "std") if facts.kind.holds == "tokens" else ():
        found = facts.parameters[name]
        if found.shape != (shape.channels,) or found.dtype != np.float32:
            raise ValueError(f"the parameter {name} is malformed")


def _parse(document: dict[str, Any], own: dict[str, Any]) -> StoreMetadata:
    shape = TokenShape(**own["shape"])
    metadata = StoreMetadata(
        rows=document["shape"][0],
        shard_records=document["chunk_grid"]["configuration"]["chunk_shape"][0],
        identity=own["identity"],
        shape=shape,
        codec=own["codec"],
        parameters_sha256=own["parameters_sha256"],
        probe=tuple(own["probe"]),
        random_weights=own["random_weights"],
        source=own["source"],
    )
    numbers = [metadata.rows, metadata.shard_records, *shape.record_shape]
    if shape.input_size is not None:
        numbers.append(shape.input_size)
    if any(type(number) is not int or not 1 <= number <= _MAX_SIZE for number in numbers):
        raise ValueError(f"sizes must be integers from 1 to {_MAX_SIZE}")
    if metadata.rows % SEGMENT_ROWS:
        raise ValueError(f"{metadata.rows} rows are not whole segments of {SEGMENT_ROWS}")
    if SEGMENT_ROWS % metadata.shard_records:
        raise ValueError(f"{metadata.shard_records} records a shard do not divide {SEGMENT_ROWS}")
    if shape.height * shape.width * shape.channels > _MAX_NUMBERS:
        raise ValueError(f"a record of {shape.record_shape} is too large")
    if not isinstance(metadata.codec, dict):
        raise TypeError("the codec is malformed")
    if not _NAME.fullmatch(shape.teacher) or not isinstance(metadata.identity, dict):
        raise ValueError("the teacher's name or identity is malformed")
    if not all(math.isfinite(number) for number in metadata.probe):
        raise ValueError("the probe is not made of numbers")
    return metadata


def _document(facts: StoreFacts) -> dict[str, Any]:
    """The array's `zarr.json`: an absent record reads as NaN or as a number that is never written."""
    metadata, codec = facts.metadata, facts.codec
    shape = metadata.shape
    own = {
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
        "attributes": {"rsmtdf": FORMAT.sealed(own)},
    }


def _absent(dtype: np.dtype[Any]) -> int | str:
    """What an absent record reads as: NaN, the int8 that no codec writes, or all bits set."""
    if dtype.kind == "f":
        return "NaN"
    return int(np.iinfo(dtype).min) if dtype.kind == "i" else int(np.iinfo(dtype).max)
