"""What a store says about itself: `zarr.json`, and the seal that shows that a file was changed.

The files are written here, not by zarr-python, so that the same store has the same bytes under
every version of that library; zarr-python reads them. On opening, the document is rebuilt from the
few facts it carries and compared whole, so that no field can lie about sizes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RsmtdfError, StoreDamagedError, StoreMismatchError
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import differences, fingerprint
from rsmtdf_core.store.codecs import CODECS, get_codec
from rsmtdf_core.store.shards import damage
from rsmtdf_core.tokens import TokenShape

FORMAT = 1
# Also the most records of a shard: records below 512 KiB give shards below 256 MiB, however large
# `runtime.shard_mebibytes` is.
SEGMENT_ROWS = 512
EXTRACT = "rsmtdf extract-features CONFIG"
ZARR = "zarr.json"
_MAX_ROWS = 2**31
_MAX_RECORD_BYTES = 2**31
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
        codec: name of the codec.
        probe: the teacher's output on the fixed probe image when the store was made.
        random_weights: True where the teacher never was trained, so that results say so.
    """

    rows: int
    shard_records: int
    identity: dict[str, Any]
    shape: TokenShape
    codec: str
    probe: tuple[float, ...]
    random_weights: bool

    @property
    def record_bytes(self) -> int:
        """Bytes of one record, without its checksum."""
        return get_codec(self.codec).record_bytes(self.shape.record_shape)

    @property
    def folder_name(self) -> str:
        """`<teacher>-<address>-<codec>`; the address comes from the identity alone."""
        assert _NAME.fullmatch(self.shape.teacher), self.shape.teacher
        return f"{self.shape.teacher}-{fingerprint(self.identity)[:12]}-{self.codec}"


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """`value` with its own fingerprint beside it."""
    return {**value, "fingerprint": fingerprint(value)}


def unsealed(value: object, path: Path) -> dict[str, Any]:
    """`value` without its fingerprint.

    Raises:
        StoreDamagedError: where the fingerprint is absent or is not that of the rest.
        StoreMismatchError: where it is of a format that this version does not know.
    """
    if not isinstance(value, dict) or "fingerprint" not in value:
        raise damage(path, "the file has no fingerprint")
    rest = {key: field for key, field in value.items() if key != "fingerprint"}
    try:
        found = fingerprint(rest)
    except ValueError:  # a number that JSON proper does not have
        found = ""
    if value["fingerprint"] != found:
        raise damage(path, "the file does not have the fingerprint that was written")
    if rest.get("format") != FORMAT:
        what = f"expected format {FORMAT}, found {rest.get('format')!r}"
        raise StoreMismatchError(what, where=path, remedy="upgrade rsmtdf")
    return rest


def read_attributes(path: Path, absent: type[RsmtdfError]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document at `path` and its unsealed attributes; `absent` is raised for a missing file."""
    document = read_json(path, StoreDamagedError if path.exists() else absent)
    attributes = document.get("attributes")
    own = attributes.get("rsmtdf") if isinstance(attributes, dict) else None
    return document, unsealed(own, path)


def write_metadata(store: Path, metadata: StoreMetadata) -> None:
    """Write the `zarr.json` of the store at `store`, atomically."""
    write_json(store / ZARR, _document(metadata))


def read_metadata(store: Path, absent: type[RsmtdfError]) -> StoreMetadata:
    """Read and check the `zarr.json` of the store at `store`.

    Raises:
        RsmtdfError: of type `absent` where there is none.
        StoreDamagedError: where a field is not what was written or lies about another.
        StoreMismatchError: where it is of a format that this version does not know.
    """
    path = store / ZARR
    document, own = read_attributes(path, absent)
    try:
        metadata = _parse(document, own)
    except (KeyError, TypeError, ValueError, IndexError) as wrong:
        raise damage(path, f"the store's metadata cannot be read: {wrong!r}") from None
    changed = next(differences(_document(metadata), document), None)
    if changed is None and store.name != metadata.folder_name:
        changed = f"folder name: expected {metadata.folder_name}, found {store.name}"
    if changed is not None:
        raise damage(path, f"the store's metadata is inconsistent: {changed}")
    return metadata


def _parse(document: dict[str, Any], own: dict[str, Any]) -> StoreMetadata:
    shape = TokenShape(**own["shape"])
    metadata = StoreMetadata(
        rows=document["shape"][0],
        shard_records=document["chunk_grid"]["configuration"]["chunk_shape"][0],
        identity=own["identity"],
        shape=shape,
        codec=own["codec"],
        probe=tuple(own["probe"]),
        random_weights=own["random_weights"],
    )
    numbers = (metadata.rows, metadata.shard_records, *shape.record_shape)
    if any(type(number) is not int or number < 1 for number in numbers):
        raise ValueError("sizes must be positive integers")
    if metadata.rows % SEGMENT_ROWS or metadata.rows > _MAX_ROWS:
        raise ValueError(f"{metadata.rows} rows are not whole segments of {SEGMENT_ROWS}")
    if SEGMENT_ROWS % metadata.shard_records:
        raise ValueError(f"{metadata.shard_records} records a shard do not divide {SEGMENT_ROWS}")
    if metadata.codec not in CODECS:
        raise ValueError(f"unknown codec {metadata.codec!r}")
    if metadata.record_bytes > _MAX_RECORD_BYTES:
        raise ValueError(f"a record of {metadata.record_bytes} bytes is too large")
    if not _NAME.fullmatch(shape.teacher) or not isinstance(metadata.identity, dict):
        raise ValueError("the teacher's name or identity is malformed")
    if not all(isinstance(number, int | float) for number in metadata.probe):
        raise ValueError("the probe is not made of numbers")
    return metadata


def _document(metadata: StoreMetadata) -> dict[str, Any]:
    """The array's `zarr.json`: an absent record reads as NaN, never as plausible zeros."""
    shape = metadata.shape
    own = {
        "format": FORMAT,
        "identity": metadata.identity,
        "shape": {
            "teacher": shape.teacher,
            "height": shape.height,
            "width": shape.width,
            "channels": shape.channels,
            "input_size": shape.input_size,
        },
        "codec": metadata.codec,
        "probe": list(metadata.probe),
        "random_weights": metadata.random_weights,
    }
    sharding = {
        "chunk_shape": [1, *shape.record_shape],
        "codecs": [_LITTLE, _CRC32C],
        "index_codecs": [_LITTLE, _CRC32C],
        "index_location": "end",
    }
    chunk_shape = [metadata.shard_records, *shape.record_shape]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [metadata.rows, *shape.record_shape],
        "data_type": get_codec(metadata.codec).dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["view", "row", "column", "channel"],
        "attributes": {"rsmtdf": sealed(own)},
    }
