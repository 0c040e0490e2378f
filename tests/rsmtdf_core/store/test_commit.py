"""A commit is read as written, or refused; it sums up the ledger."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import StoreDamagedError, StoreMismatchError
from rsmtdf_core.files import write_json
from rsmtdf_core.store.commit import (
    COMMIT,
    FORMAT,
    Commit,
    read_commit,
    read_commit_file,
    write_commit,
)
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.fidelity import Fidelity
from rsmtdf_core.store.ledger import LedgerEntry, append_ledger, read_ledger
from rsmtdf_core.store.shards import ShardSummary

WHOLE = {
    "rows": 512,
    "views": 18,
    "ledger_bytes": 90,
    "ledger_sha256": "b" * 64,
    "seconds": 1.5,
    "certificate": {},
    "parameters_sha256": "a" * 64,
}
COUNTS = st.integers(0, 2**40)
COMMITS = st.builds(
    Commit,
    rows=COUNTS,
    views=COUNTS,
    ledger_bytes=COUNTS,
    ledger_sha256=st.just("b" * 64),
    seconds=st.floats(0, 1e9),
    certificate=st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
    parameters_sha256=st.sampled_from(["", "a" * 64]),
)


@given(COMMITS)
def test_a_commit_and_its_copy_come_back_as_they_were(tmp_path_factory, commit):
    store = tmp_path_factory.mktemp("store")
    assert read_commit(store) is None
    write_commit(store, commit)
    assert read_commit(store) == commit
    assert read_commit_file(copy_of(store / COMMIT)) == commit


@given(position=st.floats(0, 0.9999), bit=st.integers(0, 7))
def test_a_changed_bit_is_refused_or_has_no_effect(tmp_path_factory, position, bit):
    store = tmp_path_factory.mktemp("store")
    commit = Commit(512, 18, 90, "b" * 64, 1.5, {"cosine": 0.9})
    write_commit(store, commit)
    path = store / COMMIT
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        read = read_commit(store)
    except (StoreDamagedError, StoreMismatchError):
        return
    assert read == commit  # a space became another white space


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": True},
        {"views": "18"},
        {"ledger_bytes": 1.0},
        {"seconds": "1"},
        {"seconds": None},
        {"certificate": []},
        {"parameters_sha256": 3},
    ],
)
def test_a_field_of_another_type_is_damage_though_the_seal_is_right(tmp_path, change):
    write_json(tmp_path / COMMIT, FORMAT.sealed(WHOLE | change))
    with pytest.raises(StoreDamagedError, match="commit") as caught:
        read_commit(tmp_path)
    assert caught.value.where == str(tmp_path / COMMIT)


@pytest.mark.parametrize("name", list(WHOLE))
def test_only_the_field_that_came_late_may_be_absent(tmp_path, name):
    write_json(
        tmp_path / COMMIT,
        FORMAT.sealed({key: value for key, value in WHOLE.items() if key != name}),
    )
    if name == "parameters_sha256":
        assert read_commit(tmp_path).parameters_sha256 == ""
    else:
        with pytest.raises(StoreDamagedError, match=name):
            read_commit(tmp_path)


def test_it_promises_the_records_of_the_ledger(tmp_path):
    tokens = np.random.default_rng(0).standard_normal((2, 3, 3, 5)).astype(np.float32)
    measured = [Fidelity.measure(view, view * 0.9, np.zeros(5, np.float32)) for view in tokens]
    append_ledger(
        tmp_path,
        [
            LedgerEntry(0, ShardSummary(4, 400, 1, 2), json.dumps(measured[0].to_json())),
            LedgerEntry(1, ShardSummary(3, 300, 3, 4), json.dumps(measured[1].to_json())),
            LedgerEntry(2, ShardSummary(1, 100, 5, 6), None),
            LedgerEntry(1, ShardSummary(4, 400, 7, 8), json.dumps(measured[1].to_json())),
        ],
    )
    ledger = read_ledger(tmp_path)
    commit = Commit.of(512, ledger, 2.5, "a" * 64)
    assert (commit.rows, commit.views, commit.seconds) == (512, 4 + 4 + 1, 2.5)
    assert commit.ledger_bytes == len(ledger.content)
    assert commit.ledger_sha256 == hashlib.sha256(ledger.content).hexdigest()
    assert commit.certificate == Fidelity.merged(measured).certificate()
    assert commit.parameters_sha256 == "a" * 64


def test_without_measurements_there_is_no_certificate(tmp_path):
    append_ledger(tmp_path, [LedgerEntry(0, ShardSummary(4, 400, 1, 2))])
    assert Commit.of(512, read_ledger(tmp_path), 0.0).certificate == {}
