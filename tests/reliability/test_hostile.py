"""Malicious stores are refused without writing a file or allocating much memory."""

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.formats import seal
from rsmtdf_core.store.commit import COMMIT
from rsmtdf_core.store.group import CROPS, SCENES, VIEWS, ViewGroup
from rsmtdf_core.store.ledger import LEDGER
from rsmtdf_core.store.metadata import ZARR
from rsmtdf_core.store.parameters import PARAMETERS
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.plan import ViewPlan
from tests.reliability import harness

JOB = harness.Job(views=2)
ALLOWED = 16 * 2**20

Evil = Callable[[FeatureStore, Path], None]


def _document(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Evil:
    """Another `zarr.json` of the store, with a right seal."""

    def evil(store: FeatureStore, outside: Path) -> None:
        document = json.loads((store.path / ZARR).read_text())
        attributes = document["attributes"]["rsmtdf"]
        del attributes["fingerprint"]
        change(document, attributes)
        document["attributes"]["rsmtdf"] = seal(attributes)
        _write(store.path / ZARR, document)

    return evil


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def _resealed(name: str, **changes: object) -> Evil:
    def evil(store: FeatureStore, outside: Path) -> None:
        path = (store.group.path if name == SCENES else store.path) / name
        attributes = json.loads(path.read_text())
        del attributes["fingerprint"]
        _write(path, seal(attributes | changes))

    return evil


def _table(name: str, header: str, rows: bytes = bytes(4 * 512)) -> Evil:
    """A table with this header and a correct checksum."""

    def evil(store: FeatureStore, outside: Path) -> None:
        data = header.encode() + b"\n"
        data = b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data + rows
        crc = google_crc32c.value(data).to_bytes(4, "little")
        (store.group.path / name).write_bytes(data + crc)

    return evil


def _npy(dtype: str, shape: str) -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"


def _view(field: str, value: int) -> Evil:
    def evil(store: FeatureStore, outside: Path) -> None:
        path = store.group.path / VIEWS
        data = path.read_bytes()[:-4]
        table = np.array(store.group.table)
        table[field][0] = value
        data = data[: len(data) - table.nbytes] + table.tobytes()
        path.write_bytes(data + google_crc32c.value(data).to_bytes(4, "little"))

    return evil


def _linked(name: str) -> Evil:
    """Replace a file or folder by a link to its new path outside of the store."""

    def evil(store: FeatureStore, outside: Path) -> None:
        path = {"group": store.group.path, "store": store.path}.get(name, store.path / name)
        if name in (VIEWS, CROPS, SCENES):
            path = store.group.path / name
        target = outside / "target"
        shutil.move(path, target)
        path.symlink_to(target)

    return evil


def _replaced(name: str, make: Callable[[Path], object]) -> Evil:
    def evil(store: FeatureStore, outside: Path) -> None:
        path = (store.group.path if name in (VIEWS, CROPS, SCENES) else store.path) / name
        path.unlink()
        make(path)

    return evil


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _parameters(data: bytes) -> Evil:
    """A parameters file whose digest is right."""

    def evil(store: FeatureStore, outside: Path) -> None:
        (store.path / PARAMETERS).write_bytes(data)
        digest = file_sha256(store.path / PARAMETERS)
        _document(lambda _, attributes: attributes.update(parameters_sha256=digest))(store, outside)

    return evil


def _shard(size: int, *pairs: tuple[int, int]) -> Evil:
    """A shard with this index and a correct checksum, whose size is in the ledger."""

    def evil(store: FeatureStore, outside: Path) -> None:
        index = np.full((store.metadata.shard_records, 2), 2**64 - 1, "<u8")
        index[: len(pairs)] = pairs
        data = bytes(size) + index.tobytes()
        data += google_crc32c.value(index.tobytes()).to_bytes(4, "little")
        path, was = store.shard_path(0), store.shard_path(0).stat().st_size
        path.write_bytes(data.rjust(was, b"\0")[-was:])

    return evil


def _deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels + "\n"


BIG = 2**60
TABLES = {
    f"{name} {case}": _table(name, header)
    for name in (VIEWS, CROPS)
    for case, header in {
        "of 2^60 rows": _npy("<u4", f"({BIG},)"),
        "of 2^70 rows": _npy("<u4", f"({2**70},)"),
        "of -512 rows": _npy("<u4", "(-512,)"),
        "of two axes": _npy("<u4", "(512, 1)"),
        "of pickled objects": _npy("|O", "(256,)"),
        "with code in its header": "__import__('os').abort()",
        "nested deep": "(" * 5000,
        "without a header": "",
    }.items()
}
FILES = {
    f"{name} is {case}": _replaced(name, make)
    for name in (ZARR, COMMIT, LEDGER, PARAMETERS, VIEWS, CROPS, SCENES)
    for case, make in {"a terabyte": _sparse, "a pipe": os.mkfifo, "a folder": Path.mkdir}.items()
    # Only what is read whole could allocate, and what is mapped is summed: a terabyte takes a day.
    if not (case == "a terabyte" and name in (VIEWS, CROPS))
}
NESTED = {
    f"{name} nested {levels} deep": _replaced(
        name, lambda path, n=levels: path.write_text(_deep(n))
    )
    for name in (ZARR, COMMIT, SCENES)
    for levels in (900, 100_000)
}
LINKS = {
    f"{name} is a link": _linked(name)
    for name in (
        "group", "store", "c", "c/0", "c/0/0", "c/0/0/0/0", ZARR, COMMIT, LEDGER, PARAMETERS, VIEWS,
        CROPS, SCENES,
    )
}  # fmt: skip
METADATA = {
    "2^60 rows": lambda d, attributes: d["shape"].__setitem__(0, BIG),
    "2^60 channels": lambda d, attributes: attributes["shape"].update(channels=BIG),
    "a teacher named ../../up": lambda d, attributes: attributes["shape"].update(
        teacher="../../up"
    ),
    "a teacher named /etc": lambda d, attributes: attributes["shape"].update(teacher="/etc"),
    "the codec pickle": lambda d, attributes: attributes.update(
        codec={"name": "pickle", "format": 1}
    ),
    "a codec named by a path": lambda d, attributes: attributes.update(
        codec={"name": "../fp16", "format": 1}
    ),
    "a codec named by a list": lambda d, attributes: attributes.update(
        codec={"name": ["fp16"], "format": 1}
    ),
    "a filter numcodecs.pickle": lambda d, attributes: d["codecs"][0]["configuration"][
        "codecs"
    ].append({"name": "numcodecs.pickle", "configuration": {}}),
    "a nested identity": lambda d, attributes: attributes.update(identity=json.loads(_deep(400))),
    "a probe of a huge number": lambda d, attributes: attributes.update(probe=[10**400]),
    "an input size of 4,000 digits": lambda d, attributes: attributes["shape"].update(
        input_size=10**4000
    ),
}
EVILS = {
    **{f"metadata with {case}": _document(change) for case, change in METADATA.items()},
    **TABLES,
    **FILES,
    **NESTED,
    **LINKS,
    "a view of a scene that is not there": _view("scene", 1000),
    "a view of a scene before the first": _view("scene", -7),
    "a view whose partner is not there": _view("partner_scene", 2**31 - 1),
    "a view of a number beyond all": _view("number", 2**30),
    "a commit of a negative ledger": _resealed(COMMIT, ledger_bytes=-1),
    "a commit of a ledger that is text": _resealed(COMMIT, ledger_bytes="x"),
    "a commit of 2^60 bytes of ledger": _resealed(COMMIT, ledger_bytes=BIG, ledger_sha256="0"),
    "scenes that are no list": _resealed(SCENES, scenes=7),
    "scenes of other fields": _resealed(SCENES, scenes=[["../x", "0"]]),
    "scenes that cannot be compared": _resealed(SCENES, scenes=[[["a"], "0", 1, 1, None]]),
    "a shard beyond its file": _shard(0, (0, BIG)),
    "a shard that wraps around": _shard(0, (2**64 - 2, 2**64 - 2)),
    "a shard before its file": _shard(0, (BIG, 94)),
    "parameters with a huge header": _parameters(BIG.to_bytes(8, "little") + b"{}"),
    "parameters that are a pickle": _parameters(b"\x80\x04cos\nsystem\n."),
    "parameters of huge tensors": _parameters(
        (73).to_bytes(8, "little")
        + b'{"mean":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4]}}'[:73]
    ),
    "no parameters": _parameters(b"\x08\0\0\0\0\0\0\0{}      "),
}


def _tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Each file, folder and link with the attributes that a write changes."""
    return {
        str(path): (state.st_mode, state.st_size if path.is_file() else 0, state.st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
        for state in [path.lstat()]
    }


def _read(store: FeatureStore, plan: ViewPlan) -> None:
    group = ViewGroup.at(store.group.path)
    harness.read_store(FeatureStore.open(store.path, group), plan, JOB)


@pytest.mark.parametrize("evil", EVILS.values(), ids=EVILS)
def test_a_hostile_store_is_refused(tmp_path, evil: Evil) -> None:
    cache, outside = tmp_path / "cache", tmp_path / "outside"
    store = harness.extract(cache, JOB)
    plan = harness.draw(cache, JOB)
    outside.mkdir()
    evil(store, outside)
    before = _tree(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(RsmtdfError) as refused:
            _read(store, plan)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(refused.value)
    assert peak < ALLOWED
    assert _tree(tmp_path) == before
    _refuse_to_write(cache, outside)


def _refuse_to_write(cache: Path, outside: Path) -> None:
    """An extraction may repair files in the store's folders, and never changes files outside of them."""
    before = _tree(outside)
    with suppress(RsmtdfError, OSError):
        harness.extract(cache, harness.Job(views=3))
    assert _tree(outside) == before


def test_how_many_hostile_stores_there_are() -> None:
    print(f"{len(EVILS)} hostile stores")
    assert len(EVILS) >= 80
