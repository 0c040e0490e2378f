import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import StoreDamagedError, StoreMismatchError, StoreNotFoundError
from rsmtdf_core.files import write_json
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.store.metadata import (
    ZARR,
    StoreFacts,
    StoreMetadata,
    read_metadata,
    write_metadata,
)
from rsmtdf_core.store.parameters import PARAMETERS as PARAMETERS_FILE
from rsmtdf_core.store.parameters import write_parameters
from rsmtdf_core.tokens import TokenShape

METADATA = StoreMetadata(
    rows=1024,
    shard_records=64,
    identity={"model": "tiny", "weights_sha256": "random:0"},
    shape=TokenShape("tiny", 3, 3, 5, 224),
    codec=declare_codec("fp16"),
    parameters_sha256="",
    probe=(0.5, 1e-9),
    random_weights=True,
)
PARAMETERS = {"mean": np.zeros(5, np.float32), "std": np.ones(5, np.float32)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / StoreFacts.of(METADATA, PARAMETERS).folder_name
    digest = write_parameters(path, PARAMETERS)
    metadata = replace(METADATA, parameters_sha256=digest)
    write_metadata(path, StoreFacts.of(metadata, PARAMETERS))
    return path


def rewrite(folder: Path, change: dict[tuple[str | int, ...], Any]) -> None:
    """Change fields and seal the attributes again, as an attacker would."""
    document = json.loads((folder / ZARR).read_text())
    for keys, value in change.items():
        parent = document
        for key in keys[:-1]:
            parent = parent[key]
        parent[keys[-1]] = value
    attributes = document["attributes"]["rsmtdf"]
    del attributes["fingerprint"]
    attributes["fingerprint"] = fingerprint(attributes)
    write_json(folder / ZARR, document)


def test_metadata_is_read_as_it_was_written(folder: Path) -> None:
    facts = read_metadata(folder, StoreNotFoundError)
    assert replace(facts.metadata, parameters_sha256="") == METADATA
    assert facts.parameters.keys() == PARAMETERS.keys()
    assert all((facts.parameters[name] == value).all() for name, value in PARAMETERS.items())


def test_changed_parameters_are_found(folder: Path) -> None:
    path = folder / PARAMETERS_FILE
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(StoreDamagedError, match="does not match its digest"):
            read_metadata(folder, StoreNotFoundError)
    path.unlink()
    with pytest.raises(StoreDamagedError, match="missing"):
        read_metadata(folder, StoreNotFoundError)


def test_every_flipped_byte_is_found(folder: Path) -> None:
    whole = (folder / ZARR).read_bytes()
    for position in range(0, len(whole), 11):
        (folder / ZARR).write_bytes(
            whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        )
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
        {("codecs", 0, "configuration", "codecs", 1): {"name": "numcodecs.pickle"}},
        {(*OWN, "identity", "model"): "other"},
        {(*OWN, "probe"): ["x"]},
        {("data_type",): "float32"},
        {("fill_value",): 0.0},
        {("codecs", 0, "configuration", "index_location"): "start"},
    ],
)
def test_forged_fields_are_refused_despite_a_right_seal(
    folder: Path, change: dict[tuple[str | int, ...], Any]
) -> None:
    rewrite(folder, change)
    with pytest.raises(StoreDamagedError):
        read_metadata(folder, StoreNotFoundError)


def test_a_later_format_is_refused_as_such(folder: Path) -> None:
    rewrite(folder, {(*OWN, "format"): 2})
    with pytest.raises(StoreMismatchError, match="expected format 1 of the store, found 2"):
        read_metadata(folder, StoreNotFoundError)


@pytest.mark.parametrize(
    "codec", [{"name": "pickle", "format": 1}, {"name": "fp16", "format": 2}, {}]
)
def test_an_unknown_codec_is_refused_as_such(folder: Path, codec: dict[str, Any]) -> None:
    rewrite(folder, {(*OWN, "codec"): codec})
    with pytest.raises(StoreMismatchError, match="codec"):
        read_metadata(folder, StoreNotFoundError)


def test_a_missing_store_differs_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        read_metadata(tmp_path / "tiny", StoreNotFoundError)
