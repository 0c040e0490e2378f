"""An extraction that is killed goes on to the same bytes, wherever it was killed."""

import json
import random
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from rsmtdf_core.errors import StoreIncompleteError, StoreNotFoundError
from tests.reliability import harness

SMALL, GROWN = harness.Job(views=1), harness.Job(views=2, scenes=8)

# What a kill may come between: what is done to which file. A rename is named by its new name.
NAMED = {
    *(
        (op, f"{file}{new}")
        for file in ("shard", "crops.npy", "scenes.json", "views.npy", "group zarr.json")
        for op, new in (("open", " new"), ("write", " new"), ("sync", " new"), ("rename", ""))
    ),
    *(
        (op, f"{file}{new}")
        for file in ("parameters.safetensors", "store zarr.json", "commit.json")
        for op, new in (("open", " new"), ("write", " new"), ("sync", " new"), ("rename", ""))
    ),
    *((op, "ledger.jsonl") for op in ("open", "truncate", "write", "sync")),
    ("truncate", "shard new"),
    *(("sync", folder) for folder in ("group", "store", "shard folder")),
}


def _name(path: str, cache: Path) -> str:
    """A file's part in the store, whatever its number and its temporary name."""
    parts = Path(path).relative_to(cache).parts
    last = parts[-1].partition(".tmp-")[0] if parts else "cache"
    suffix = " new" if ".tmp-" in path else ""
    if "c" in parts:
        return f"shard{suffix}" if len(parts) == 7 else "shard folder"
    if last == "zarr.json":
        return f"{'group' if len(parts) == 2 else 'store'} zarr.json{suffix}"
    return ("cache", "group", "store")[len(parts)] if "." not in last else f"{last}{suffix}"


def _events(run, cache: Path, job) -> list[tuple[str, str]]:
    """The changes of an undisturbed extraction, without reading."""
    noted = cache.with_name(f"{cache.name}.events")
    assert run({"cache": cache, "job": asdict(job), "events": noted}) == [0]
    events = [(op, _name(path, cache)) for op, path in json.loads(noted.read_text())]
    return [event for event in events if event[0] != "read"]


def _served(cache: Path, job) -> bool:
    """Whether the job's records are promised; then all of them are right."""
    try:
        return harness.read_all(cache, job) > 0
    except (StoreNotFoundError, StoreIncompleteError):
        return False


class _Killed:
    """Kills extractions of a job in copies of a cache, and checks the results."""

    def __init__(self, run, folder: Path, before, job) -> None:
        self._run, self._folder, self._before, self._job = run, folder, before, job
        self._start = folder / "start"
        self._start.mkdir()
        if before is not None:
            harness.extract(self._start, before)
        whole = shutil.copytree(self._start, folder / "whole")
        began = time.monotonic()
        self.events = _events(run, whole, job)
        self.seconds = time.monotonic() - began
        self._files = harness.final_files(whole)
        self.cases = 0

    def try_one(self, **how: object) -> None:
        """Kill an extraction; it does not count if it had ended before."""
        cache = self._folder / "killed"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(self._start, cache)
        task = {"cache": cache, "job": asdict(self._job)}
        [code] = self._run(task | how)
        if code == 0 and "delay" in how:
            return
        assert code == -signal.SIGKILL
        if self._before is not None:
            assert _served(cache, self._before), "what was promised is gone"
        _served(cache, self._job)
        assert self._run(task) == [0]
        assert harness.final_files(cache) == self._files
        assert _served(cache, self._job)
        assert not [path for path in harness.leftovers(cache) if path.count("/") > 1]
        self.cases += 1


@pytest.fixture(params=[None, SMALL], ids=["new", "grown"])
def killed(request, run, tmp_path) -> _Killed:
    return _Killed(run, tmp_path, request.param, GROWN if request.param else SMALL)


def test_a_kill_at_each_named_point_of_a_write(run, tmp_path) -> None:
    killed = _Killed(run, tmp_path, None, SMALL)
    assert set(killed.events) >= NAMED, NAMED - set(killed.events)
    first = {event: at for at, event in reversed(list(enumerate(killed.events, 1)))}
    # Of a shard's records and of the tables' parts the middle ones.
    writes = [at for at, event in enumerate(killed.events, 1) if event == ("write", "shard new")]
    for at in (*first.values(), *writes[2:4]):
        killed.try_one(at=at, half=False)
        if killed.events[at - 1][0] == "write":
            killed.try_one(at=at, half=True)
    print(f"{killed.cases} kills, at {len(first)} named points")
    assert killed.cases > 50


@pytest.mark.reliability
def test_a_kill_before_and_in_the_middle_of_every_operation(killed) -> None:
    for at, (op, _) in enumerate(killed.events, 1):
        killed.try_one(at=at, half=False)
        if op == "write":
            killed.try_one(at=at, half=True)
    print(f"{killed.cases} kills in {len(killed.events)} operations")
    assert killed.cases > len(killed.events) > 70


@pytest.mark.reliability
def test_forty_kills_at_random_moments(run, tmp_path) -> None:
    killed = _Killed(run, tmp_path, SMALL, GROWN)
    moments, longest = random.Random(), killed.seconds
    while killed.cases < 40:
        delay, before = moments.uniform(0, longest), killed.cases
        killed.try_one(delay=delay)
        if killed.cases == before:  # it had ended by then
            longest = delay
    print(f"{killed.cases} kills")
    assert killed.cases == 40


_CONFIG = """
name: tiny
data: {manifest: synthetic, root: SCENES, labeled: 1/4}
views: {crop: 64, scale: [0.6, 1.2], unlabeled_views: 2, labeled_views: 2}
teachers:
  - {name: vit, family: timm, model: test_vit, weights: random, input_size: 80}
  - {name: cnn, family: timm, model: test_efficientnet, weights: random, block: 2, codec: int8}
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
evaluation: {inference: {mode: slide, window: 64, overlap: 0, batch: 4}}
runtime: {device: cpu, workers: 0, teacher_batch: 1, cache_pixels: true}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    draw_scenes(tmp_path / "scenes", 10, 72, seed=3)
    file = tmp_path / "tiny.yaml"
    file.write_text(_CONFIG.replace("SCENES", str(tmp_path / "scenes")))
    assert load_config(str(file)).runtime.cache_pixels
    return file


def _kill_pipeline(run, config: Path, kills: int, chain: int) -> None:
    """Kill that many extractions with real teachers, `chain` of them before each that may end."""
    whole, cache = config.with_name("whole"), config.with_name("killed")
    began = time.monotonic()
    assert run({"config": [config, f"runtime.cache={whole}"]}) == [0]
    seconds = time.monotonic() - began
    files = harness.final_files(whole)
    assert len(files) > 30
    task, cases, moments = {"config": [config, f"runtime.cache={cache}"]}, 0, random.Random()
    while cases < kills:
        shutil.rmtree(cache, ignore_errors=True)
        for _ in range(chain):
            [code] = run(task | {"delay": moments.uniform(0, 0.9) * seconds})
            cases += code == -signal.SIGKILL
        assert run(task) == [0]
        assert harness.final_files(cache) == files
    print(f"{cases} kills of an extraction that takes {seconds:.1f} s")
    assert cases >= kills


@pytest.mark.reliability
def test_whole_extractions_are_killed(run_pipeline, config) -> None:
    _kill_pipeline(run_pipeline, config, kills=12, chain=3)
