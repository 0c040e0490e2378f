"""On a full, broken, forbidden or read-only disk, an error is raised and no file is incomplete."""

import errno
import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.errors import (
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreNotFoundError,
)
from rsmtdf_core.store.commit import read_commit_file
from rsmtdf_core.store.copies import COPY
from rsmtdf_core.store.group import CROPS
from rsmtdf_core.store.tables import read_table
from tests.reliability import harness
from tests.reliability.tap import tapped

SMALL, GROWN = harness.Job(views=1), harness.Job(views=2, scenes=8)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)


class _Broken:
    """Injects errors into extractions of a job in copies of a cache, and checks the files that remain."""

    def __init__(self, folder: Path, before, job) -> None:
        self._folder, self._before, self._job = folder, before, job
        self._start = folder / "start"
        self._start.mkdir()
        if before is not None:
            harness.extract(self._start, before)
        self._old = harness.tree(self._start)
        whole = shutil.copytree(self._start, folder / "whole")
        events: list[list[str]] = []
        with tapped(whole, harness.count(events)):
            harness.extract(whole, job)
        self.events = events
        self._whole, self._files = harness.tree(whole), harness.final_files(whole)
        self.thrown: list[str] = []

    def try_one(self, at: int, number: int) -> None:
        """Let the operation numbered `at` fail."""
        cache = self._folder / "broken"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(self._start, cache)
        before = len(self.thrown)
        with tapped(cache, harness.fail(at, number, self.thrown)):
            surfaced = self._extract(cache)
        assert len(self.thrown) > before
        if surfaced is None:
            # It could be worked around, so the work is done.
            assert harness.read_all(cache, self._job)
        else:
            # If it were reported as damage, the user would delete intact files.
            assert not isinstance(surfaced, StoreDamagedError), surfaced
            cause = surfaced if isinstance(surfaced, OSError) else surfaced.__cause__
            assert cause.errno in ERRORS
        # Who may not write cannot remove its temporary files either.
        assert "remove" in self.thrown[before:] or not harness.leftovers(cache)
        self._check_files(cache)
        if self._before is not None:
            assert harness.read_all(cache, self._before)
        with suppress(StoreNotFoundError, StoreIncompleteError):
            assert harness.read_all(cache, self._job)
        harness.extract(cache, self._job)
        assert harness.final_files(cache) == self._files

    def _extract(self, cache: Path) -> Exception | None:
        try:
            harness.extract(cache, self._job)
        except (OSError, StoreError) as raised:
            # Or it would tell the user to delete what is sound.
            return raised
        return None

    def _check_files(self, cache: Path) -> None:
        """Every file is as it was or as it is to be; tables and ledgers may be on their way there."""
        for name, data in harness.tree(cache).items():
            old, new = self._old.get(name), self._whole.get(name)
            if ".tmp-" in name:
                continue
            kind = name.removesuffix(COPY)
            if kind.endswith(CROPS):
                read_table(cache / name, np.dtype(np.uint32))
            elif kind.endswith("ledger.jsonl"):
                assert new.startswith(data[: data.rfind(b"\n") + 1])
            elif kind.endswith("commit.json"):
                assert read_commit_file(cache / name).views > 0
            else:
                assert data in (old, new), name


def _tell(broken: _Broken, cases: int) -> None:
    kinds = {op: broken.thrown.count(op) for op in sorted(set(broken.thrown))}
    print(
        f"{cases} faults at {len(broken.events)} operations, {len(broken.thrown)} errors: {kinds}"
    )


def test_an_error_at_each_kind_of_operation(tmp_path) -> None:
    """The first and the last operation of a kind on each file, regardless of temporary names."""
    broken = _Broken(tmp_path, None, SMALL)
    kinds: dict[tuple[str, str], list[int]] = {}
    for at, (op, path) in enumerate(broken.events, 1):
        shard, name = "/c/" in path, Path(path).name
        # Looking for shards that are not there is most of the reading.
        kind = "shard" if shard else name
        kinds.setdefault((op, re.sub("tmp-.*", "tmp", kind)), []).append(at)
    cases = sorted({at for places in kinds.values() for at in (places[0], places[-1])})
    for turn, at in enumerate(cases):
        broken.try_one(at, ERRORS[turn % 4])
    _tell(broken, len(cases))
    assert len(cases) > 60


@pytest.mark.reliability
@pytest.mark.parametrize("before", [None, SMALL], ids=["new", "grown"])
def test_every_error_at_every_operation(tmp_path, before) -> None:
    broken = _Broken(tmp_path, before, GROWN if before else SMALL)
    for number in ERRORS:
        for at in range(1, len(broken.events) + 1):
            broken.try_one(at, number)
    cases = 4 * len(broken.events)
    _tell(broken, cases)
    assert cases > 1000
