import json
from pathlib import Path
from typing import Any

import pytest

from rsmtdf_core.errors import StoreDamagedError, StoreMismatchError, StoreNotFoundError
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.store.metadata import ZARR, StoreMetadata, read_metadata, write_metadata
from rsmtdf_core.tokens import TokenShape

METADATA = StoreMetadata(
    rows=1024,
    shard_records=64,
    identity={"model": "tiny", "weights_sha256": "random:0"},
    shape=TokenShape("tiny", 3, 3, 5, 224),
    codec="fp16",
    probe=(0.5, 1e-9),
    random_weights=True,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / METADATA.folder_name
    write_metadata(path, METADATA)
    return path


def rewrite(folder: Path, change: dict[tuple[str | int, ...], Any]) -> None:
    """Change fields and seal the attributes again: a lie, not an accident."""
    document = json.loads((folder / ZARR).read_text())
    for keys, value in change.items():
        place = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
    own = document["attributes"]["rsmtdf"]
    del own["fingerprint"]
    own["fingerprint"] = fingerprint(own)
    (folder / ZARR).write_text(json.dumps(document))


def test_metadata_is_read_as_it_was_written(folder: Path) -> None:
    assert read_metadata(folder, StoreNotFoundError) == METADATA


def test_every_flipped_byte_is_found(folder: Path) -> None:
    whole = (folder / ZARR).read_bytes()
    for place in range(0, len(whole), 11):
        (folder / ZARR).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises((StoreDamagedError, StoreMismatchError)):
            read_metadata(folder, StoreNotFoundError)


OWN = ("attributes", "rsmtdf")
CHUNK = ("chunk_grid", "configuration", "chunk_shape")


@pytest.mark.parametrize(
    "change",
    [
        {("shape", 0): 1000},
        {("shape", 0): 2**40},
        {("shape", 0): -512},
        {("shape", 0): "512"},
        {("shape", 0): True},
        {("shape", 3): 6},
        {(*CHUNK, 0): 3},
        {(*CHUNK, 0): 0},
        {(*CHUNK, 0): 1024},
        {(*OWN, "shape", "channels"): 2**40, ("shape", 3): 2**40, (*CHUNK, 3): 2**40},
        {(*OWN, "shape", "teacher"): "../../tiny"},
        {(*OWN, "shape", "extra"): 1},
        {(*OWN, "codec"): "pickle"},
        {(*OWN, "identity", "model"): "other"},
        {(*OWN, "probe"): ["x"]},
        {("data_type",): "float32"},
        {("fill_value",): 0.0},
        {("codecs", 0, "configuration", "index_location"): "start"},
    ],
)
def test_lies_are_refused_though_the_seal_is_right(
    folder: Path, change: dict[tuple[str | int, ...], Any]
) -> None:
    rewrite(folder, change)
    with pytest.raises(StoreDamagedError):
        read_metadata(folder, StoreNotFoundError)


def test_a_later_format_is_refused_as_such(folder: Path) -> None:
    rewrite(folder, {(*OWN, "format"): 2})
    with pytest.raises(StoreMismatchError, match="expected format 1, found 2"):
        read_metadata(folder, StoreNotFoundError)


def test_an_absent_store_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        read_metadata(tmp_path / "tiny", StoreNotFoundError)
