import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rsmtdf_core.codecs import make_codec
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.ring import Ring
from rsmtdf_core.store.shards import shard_path, write_shard
from rsmtdf_core.tokens import TokenShape

SHAPE = (2, 3, 4)
CAPACITY = 4
RECORDS = 32
BATCH = 5
CODEC = make_codec({"name": "fp16", "format": 1}, SHAPE, {})


def tokens_of(row: int) -> np.ndarray:
    return np.random.default_rng(row).standard_normal(SHAPE, np.float32).astype(np.float16)


def rows_of(step: int) -> np.ndarray:
    """Steps differ in size: 1 to 5 rows."""
    return np.random.default_rng(step).permutation(RECORDS)[: step % BATCH + 1]


def make_reader(path: Path, check="never") -> FeatureReader:
    for shard in range(RECORDS // CAPACITY):
        rows = range(shard * CAPACITY, (shard + 1) * CAPACITY)
        records = (CODEC.encode(tokens_of(row)) for row in rows)
        write_shard(shard_path(path, shard, CODEC), records, CAPACITY)
    store = SimpleNamespace(
        path=path,
        codec=CODEC,
        shape=TokenShape("tiny", *SHAPE),
        metadata=SimpleNamespace(shard_records=CAPACITY),
        entries=dict,
    )
    return FeatureReader(store, np.arange(RECORDS), check)


@pytest.fixture
def reader(tmp_path: Path) -> FeatureReader:
    return make_reader(tmp_path)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("slots", [1, 2, 4])
def test_steps_come_in_order_with_their_records(tmp_path: Path, threads: int, slots: int) -> None:
    readers = {"one": make_reader(tmp_path / "one"), "other": make_reader(tmp_path / "other")}
    steps = []
    with Ring(readers, rows_of, 3, 40, batch=BATCH, slots=slots, threads=threads) as ring:
        for slot in ring:
            expected = np.stack([tokens_of(row) for row in rows_of(slot.step)])
            assert slot.buffers.keys() == readers.keys()
            for buffer in slot.buffers.values():
                assert buffer.dtype == torch.float16
                assert np.array_equal(buffer.numpy(), expected)
            steps.append(slot.step)
            slot.release()
    assert steps == list(range(3, 40))


def test_no_buffer_is_made_after_the_first_round(reader) -> None:
    with Ring({"t": reader}, rows_of, 0, 30, batch=BATCH, slots=3) as ring:
        places = set()
        for slot in ring:
            places.add(slot.buffers["t"].data_ptr())
            slot.release()
    assert len(places) == 3


def test_a_slot_that_is_held_keeps_its_records(reader, monkeypatch) -> None:
    gather, filled = reader.gather, threading.Semaphore(0)

    def noted(*arguments):
        gather(*arguments)
        filled.release()

    monkeypatch.setattr(reader, "gather", noted)
    with Ring({"t": reader}, rows_of, 0, 20, batch=BATCH, slots=3) as ring:
        held = next(ring)
        for _ in range(10):
            next(ring).release()
        for _ in range(3 + 10):  # every slot once, and again after each release
            filled.acquire()
        assert np.array_equal(held.buffers["t"].numpy(), [tokens_of(r) for r in rows_of(0)])


def test_releasing_twice_gives_one_slot(reader) -> None:
    with Ring({"t": reader}, rows_of, 0, 20, batch=BATCH, slots=2) as ring:
        first, second = next(ring), next(ring)
        for _ in range(3):
            first.release()
        assert next(ring).step == 2
        first.release()
        with pytest.raises(RuntimeError, match=r"steps \[1, 2\]"):
            next(ring)
        second.release()
        assert next(ring).step == 3


def test_a_consumer_that_holds_every_slot_gets_an_error_instead_of_waiting_forever(reader) -> None:
    with Ring({"t": reader}, rows_of, 0, 20, batch=BATCH, slots=2) as ring:
        held = [next(ring), next(ring)]
        with pytest.raises(RuntimeError, match="release one"):
            next(ring)
        held[0].release()
        assert next(ring).step == 2


def test_all_slots_may_be_held_at_the_end(reader) -> None:
    with Ring({"t": reader}, rows_of, 0, 2, batch=BATCH, slots=2) as ring:
        assert [slot.step for slot in ring] == [0, 1]


@pytest.mark.parametrize("threads", [1, 3])
def test_damage_is_raised_at_the_step_that_reads_it(tmp_path: Path, threads: int) -> None:
    reader = make_reader(tmp_path, "first")
    with shard_path(tmp_path, 2, CODEC).open("r+b") as file:
        file.write(b"\xff\xff")
    with Ring(
        {"t": reader}, lambda step: np.array([step]), 0, 32, batch=1, threads=threads
    ) as ring:
        for _ in range(8):
            next(ring).release()
        with pytest.raises(StoreDamagedError, match="record 0"):
            next(ring)
        assert next(ring, None) is None


def test_a_missing_shard_is_raised_at_its_step_despite_prefetching(
    tmp_path: Path,
) -> None:
    reader = make_reader(tmp_path)
    shard_path(tmp_path, 1, CODEC).unlink()
    with Ring({"t": reader}, lambda step: np.array([step]), 0, 32, batch=1) as ring:
        for _ in range(4):
            next(ring).release()
        with pytest.raises(StoreDamagedError, match="missing"):
            next(ring)


def test_records_are_asked_for_before_any_step_is_copied_and_each_once_a_step(
    reader, monkeypatch
) -> None:
    calls: list[tuple[str, int]] = []
    gather, prefetch = reader.gather, reader.prefetch

    def noted(name, call):
        def run(rows, *rest):
            calls.append((name, int(rows[0])))
            call(rows, *rest)

        return run

    monkeypatch.setattr(reader, "gather", noted("copy", gather))
    monkeypatch.setattr(reader, "prefetch", noted("ask", prefetch))
    with Ring({"t": reader}, lambda step: np.array([step]), 0, 9, batch=1) as ring:
        for slot in ring:
            slot.release()
    assert sorted(calls) == [(name, step) for name in ("ask", "copy") for step in range(9)]
    for step in range(9):
        assert calls.index(("ask", step)) < calls.index(("copy", step))
    assert calls[:2] == [("ask", 0), ("ask", 1)]


def test_leaving_early_stops_the_threads(reader) -> None:
    with Ring({"t": reader}, rows_of, 0, 10**9, batch=BATCH, threads=2) as ring:
        slot = next(ring)
        threads = [t for t in threading.enumerate() if t.name.startswith("rsmtdf-ring")]
        assert threads
    # All steps together would take days.
    assert not any(thread.is_alive() for thread in threads)
    slot.release()  # late, and harmless
    assert next(ring, None) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_slots_are_filled_alike(reader) -> None:
    with Ring({"t": reader}, rows_of, 0, 9, batch=BATCH, pin=True) as ring:
        for slot in ring:
            buffer = slot.buffers["t"]
            assert buffer.is_pinned()
            on_gpu = buffer.to("cuda", non_blocking=True)
            torch.cuda.synchronize()
            assert np.array_equal(
                on_gpu.cpu().numpy(), [tokens_of(row) for row in rows_of(slot.step)]
            )
            slot.release()
