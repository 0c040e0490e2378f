"""Any order of growth, crashes, damage and repair, compared with a model: promised records are present."""

import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from rsmtdf_core.cache.find import find_store
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import StoreIncompleteError, StoreNotFoundError
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from tests.reliability import harness

done = {"operations": 0}


class CacheMachine(RuleBasedStateMachine):
    """A cache and the records that it has promised.

    `tokens` are the records by teacher, codec and view; `rows` the row of each view; `shards` the files
    that commits rest on, with how many records each has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache = Path(tempfile.mkdtemp(prefix="rsmtdf-model-"))
        self.wanted = harness.Job()
        self.tokens: dict[tuple[str, str, object], bytes] = {}
        self.rows: dict[object, int] = {}
        self.shards: dict[Path, tuple[bytes, int]] = {}
        self.committed: list[object] = []
        self.crashed = False

    def teardown(self) -> None:
        for job in self.committed:
            assert harness.read_all(self.cache, job)
        shutil.rmtree(self.cache)

    @rule(views=st.integers(1, 3))
    def want_views(self, views: int) -> None:
        self.wanted = replace(self.wanted, views=views)
        done["operations"] += 1

    @rule(scenes=st.integers(6, 9))
    def want_scenes(self, scenes: int) -> None:
        self.wanted = replace(self.wanted, scenes=scenes)
        done["operations"] += 1

    @rule(labeled=st.integers(1, 4))
    def want_roles(self, labeled: int) -> None:
        self.wanted = replace(self.wanted, labeled=labeled)
        done["operations"] += 1

    @rule(teacher=st.sampled_from(["tiny", "other"]))
    def want_teacher(self, teacher: str) -> None:
        self.wanted = replace(self.wanted, teacher=teacher)
        done["operations"] += 1

    @rule(codec=st.sampled_from(harness.FEATURE_CODECS))
    def want_codec(self, codec: str) -> None:
        self.wanted = replace(self.wanted, codec=codec)
        done["operations"] += 1

    @rule()
    def extract(self) -> None:
        store = harness.extract(self.cache, self.wanted)
        plan = harness.draw(self.cache, self.wanted)
        rows = store.require(plan)
        for key, row in zip(harness.keys_of(plan), rows.tolist(), strict=True):
            assert self.rows.setdefault(key, row) == row
        self._remember(store, plan, rows)
        if self.wanted not in self.committed:
            self.committed.append(self.wanted)
        done["operations"] += 1

    @rule(blocks=st.integers(0, 4), entered=st.booleans())
    def crash(self, blocks: int, entered: bool) -> None:
        """After some blocks: before the commit, or before the last block is in the ledger."""
        self.crashed = True
        with pytest.MonkeyPatch.context() as patch:
            if not entered:
                patch.setattr(FeatureStore, "append", _crash)
            with suppress(_CrashError):
                harness.extract(self.cache, replace(self.wanted, blocks=blocks))
        done["operations"] += 1

    @rule(pick=st.integers(0, 10**6), position=st.integers(0, 10**6), bit=st.integers(0, 7))
    def damage_and_mend(self, pick: int, position: int, bit: int) -> None:
        if not self.committed:
            return
        job = self.committed[pick % len(self.committed)]
        store, _ = self._open(job)
        promised = sorted(path for path in self.shards if store.path in path.parents)
        path = promised[pick % len(promised)]
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[position % len(whole)] ^= 1 << bit
        path.write_bytes(changed)
        [problem] = store.verify()
        assert str(path) in str(problem)
        path.unlink()
        for earlier in self.committed:
            if (earlier.teacher, earlier.codec) == (job.teacher, job.codec):
                harness.extract(self.cache, earlier)
        assert store.verify() == ()
        # The shard may have held records of a crashed extraction too, which nobody was promised.
        assert self.crashed or path.read_bytes() == whole
        self.shards[path] = path.read_bytes(), self.shards[path][1]
        done["operations"] += 1

    @rule(pick=st.integers(0, 10**6))
    def read(self, pick: int) -> None:
        """As training does, in a fresh reader, against the model."""
        done["operations"] += 1
        if not self.committed:
            with pytest.raises((StoreNotFoundError, StoreIncompleteError)):
                harness.read_all(self.cache, self.wanted)
            return
        job = self.committed[pick % len(self.committed)]
        store, plan = self._open(job)
        rows, keys = store.require(plan), harness.keys_of(plan)
        reader = FeatureReader(store, rows, "always")
        gathered = np.empty((len(rows), *store.codec.stored_shape), store.codec.dtype)
        reader.gather(np.arange(len(rows)), gathered)
        for key, row, record in zip(keys, rows.tolist(), gathered, strict=True):
            assert self.rows[key] == row
            assert self.tokens[job.teacher, job.codec, key] == record.tobytes()

    @rule(pick=st.integers(0, 10**6))
    def require(self, pick: int) -> None:
        """Promised records are served, and others are refused."""
        done["operations"] += 1
        if self.committed:
            store, plan = self._open(self.committed[pick % len(self.committed)])
            store.require(plan)
        plan = harness.draw(self.cache, self.wanted)
        teacher, codec = self.wanted.teacher, self.wanted.codec
        there = all((teacher, codec, key) in self.tokens for key in harness.keys_of(plan))
        try:
            self._open(self.wanted)
        except (StoreNotFoundError, StoreIncompleteError):
            assert not there

    @invariant()
    def committed_shards_keep_their_bytes(self) -> None:
        """A shard changes only if it gains records of newly requested views."""
        for path, (data, records) in self.shards.items():
            now = path.read_bytes()
            if now != data:
                # Its records are compared by `read`.
                assert len(now) > len(data), f"{path} of {records} records changed"
                self.shards[path] = now, records

    def _open(self, job) -> tuple[FeatureStore, object]:
        plan = harness.draw(self.cache, job)
        declared = declare_codec(job.codec)
        return find_store(self.cache, plan, job.identity, declared), plan

    def _remember(self, store: FeatureStore, plan, rows: np.ndarray) -> None:
        job = self.wanted
        for key in harness.keys_of(plan):
            numbers = np.zeros(store.codec.stored_shape, store.codec.dtype)
            store.codec.unpack(store.codec.encode(harness.tokens_of(job.teacher, key)), numbers)
            known = self.tokens.setdefault((job.teacher, job.codec, key), numbers.tobytes())
            assert known == numbers.tobytes()
        entries = store.entries()
        for shard in np.unique(rows // store.metadata.shard_records).tolist():
            path = store.shard_path(shard)
            self.shards[path] = path.read_bytes(), entries[shard].records


class _CrashError(Exception):
    pass


def _crash(*_: object) -> None:
    raise _CrashError


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_hundreds_of_operations_against_a_model() -> None:
    before = done["operations"]
    while done["operations"] - before < 300:
        _run(4, 40)
    print(f"{done['operations'] - before} operations")


@pytest.mark.reliability
def test_ten_thousand_operations_against_a_model() -> None:
    before = done["operations"]
    while done["operations"] - before < 10_000:
        _run(50, 60)
    print(f"{done['operations'] - before} operations")
