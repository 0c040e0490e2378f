"""Shared by the tests of this folder: a small extraction whose tokens identify their view."""

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.cache.group import find_group, grow_group
from rsmtdf_core.codecs import Tokens, declare_codec
from rsmtdf_core.errors import StoreError
from rsmtdf_core.kinds import TOKEN_CODECS
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.copies import COPY
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan, drawing_fields, make_plan
from rsmtdf_core.views.records import PIXELS
from rsmtdf_core.views.settings import ViewSettings

FEATURE_CODECS = list(TOKEN_CODECS)
GRID = (3, 3, 5)
Key = tuple[str, int, bool, str]


@dataclass(frozen=True)
class Job:
    """An extraction: how many views a scene, how many scenes, how many of them labeled, by whom, and in
    which codec; `blocks` is after how many written blocks it ends without a commit."""

    views: int = 1
    scenes: int = 7
    labeled: int = 2
    teacher: str = "tiny"
    codec: str = "fp16"
    blocks: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        identity = {
            "model": self.teacher,
            "weights_sha256": sha256(self.teacher.encode()).hexdigest(),
        }
        return identity | ({"library": "rsmtdf"} if self.teacher == PIXELS else {})


def scene(number: int) -> Scene:
    return Scene(
        f"s{number:03}", f"s{number:03}.png", f"m{number:03}.png", 64, 48, sha256=f"{number:064x}"
    )


def draw(cache: Path, job: Job) -> ViewPlan:
    """The job's plan, drawn like in stage one from the views in the cache."""
    listed = [scene(number) for number in range(job.scenes)]
    settings = ViewSettings(crop=28, unlabeled_views=job.views, labeled_views=job.views)
    group = find_group(cache, drawing_fields(settings, 0), listed)
    known = None if group is None else group.known
    return make_plan(listed[: job.labeled], listed[job.labeled :], settings, 0, known)


def keys_of(plan: ViewPlan) -> list[Key]:
    """The key of each view of a plan, independent of its row."""
    names = [*(scene.id for scene in plan.scenes), ""]
    return [
        (names[view["scene"]], int(view["number"]), bool(view["labeled"]), names[view["partner_scene"]])
        for view in plan.table
    ]  # fmt: skip


def tokens_of(teacher: str, key: Key) -> Tokens:
    """The tokens of a view, float32 [3, 3, 5]; pixels are uint8."""
    seed = int.from_bytes(sha256(repr((teacher, key)).encode()).digest()[:8], "little")
    random = np.random.default_rng(seed)
    if teacher == PIXELS:
        return random.integers(0, 256, GRID, np.uint8)
    return random.standard_normal(GRID, np.float32)


def crop_of(key: Key) -> int:
    """The number used as the crc32 of a view's crop."""
    return zlib.crc32(repr(key[:3]).encode()) or 1


def extract(cache: Path, job: Job) -> FeatureStore:
    """Extract like `pipeline.extract.run`, without teachers and dask."""
    plan = None
    while plan is None or draw(cache, job).fingerprint != plan.fingerprint:
        plan = draw(cache, job)
        group = grow_group(cache, plan)
    rows, keys = group.rows(plan), keys_of(plan)
    with suppress(StoreError):
        stored = find_store(cache, plan, job.identity, declare_codec(job.codec))
        if group.crops(rows).all():
            return stored
    store = create_store(
        group,
        job.identity,
        TokenShape(job.teacher, *GRID),
        declare_codec(job.codec),
        lambda: np.stack([tokens_of(job.teacher, key) for key in keys[:4]]),
        probe=[0.5, 1.5e-7],
        shard_bytes=512,
    )
    with store.writing():
        store.adopt()
        if write_missing(store, job, rows, keys):
            store.commit(rows, 1.0)
    return store


def write_missing(store: FeatureStore, job: Job, rows: np.ndarray, keys: list[Key]) -> bool:
    """Write the incomplete blocks; False if the job ends before the last one."""
    group, key_of = store.group, dict(zip(rows.tolist(), keys, strict=True))
    missing = np.union1d(store.missing_rows(rows), rows[group.crops(rows) == 0])
    wanted = set(missing.tolist())
    for done, block in enumerate(store.blocks(missing)):
        if done == job.blocks:
            return False
        records = (tokens_of(job.teacher, key_of[r]) if r in wanted else None for r in block)
        entries = write_block(store.path, block, records)
        written = np.array([row for row in block if row in wanted])
        group.set_crops(
            written, np.array([crop_of(key_of[row]) for row in written.tolist()], np.uint32)
        )
        store.append(entries)
    return job.blocks is None


def read_all(cache: Path, job: Job) -> int:
    """Open the job's store as training does, and compare all that was promised; how many records."""
    plan = draw(cache, job)
    return read_store(find_store(cache, plan, job.identity, declare_codec(job.codec)), plan, job)


def read_store(store: FeatureStore, plan: ViewPlan, job: Job, check: str = "always") -> int:
    """As `read_all`, with the store at hand."""
    rows, keys = store.require(plan), keys_of(plan)
    crops = store.group.crops(rows)
    reader, codec = FeatureReader(store, rows, check), store.codec
    records = np.zeros((len(rows), *codec.stored_shape), codec.dtype)
    reader.gather(np.arange(len(rows)), records)
    expected = np.zeros_like(records[0])
    for row, key in enumerate(keys):
        codec.unpack(codec.encode(tokens_of(job.teacher, key)), expected)
        assert records[row].tobytes() == expected.tobytes(), f"wrong tokens at {rows[row]}"
        assert crops[row] == crop_of(key), f"wrong crop at {rows[row]}"
    return len(rows)


def final_files(cache: Path) -> dict[str, bytes]:
    """All that must not depend on how an extraction went."""
    return {
        name: data
        for name, data in tree(cache).items()
        if not name.endswith(("ledger.jsonl", "commit.json", COPY)) and ".tmp-" not in name
    }


def tree(folder: Path) -> dict[str, bytes]:
    """Each file below with its bytes; locks left out, links not followed."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != ".lock"
    }


def leftovers(cache: Path) -> list[str]:
    """Temporary files."""
    return [str(path.relative_to(cache)) for path in cache.rglob("*.tmp-*")]


def flips(data: bytes, count: int, random: np.random.Generator) -> Iterator[bytes]:
    """`data` with one bit changed or its end cut off, `count` times, in turn; once by one byte alone."""
    for number in range(count):
        position = int(random.integers(len(data))) if number != 3 else len(data) - 1
        if number % 4 == 3:
            yield data[:position]
        else:
            changed = bytearray(data)
            changed[position] ^= 1 << int(random.integers(8))
            yield bytes(changed)


Hook = Callable[..., Any]


def count(events: list[list[str]]) -> Hook:
    """Records the operation and the file's name."""

    def hook(op: str, path: str, act: Callable[[], Any], half: Callable[[], Any]) -> object:
        events.append([op, path])
        return act()

    return hook


def fail(at: int, number: int, thrown: list[str]) -> Hook:
    """The call with that number fails; a full or read-only disk then refuses all later changes too."""
    calls = 0
    spared = {errno.ENOSPC: ("read", "remove", "truncate"), errno.EROFS: ("read",)}.get(number)

    def hook(op: str, path: str, act: Callable[[], Any], half: Callable[[], Any]) -> object:
        nonlocal calls
        calls += 1
        if calls == at or (calls > at and spared is not None and op not in spared):
            thrown.append(op)
            if op == "write" and number == errno.ENOSPC:
                half()
            raise OSError(number, os.strerror(number), path)
        return act()

    return hook
