"""A small plan, and a store whose records identify their row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.group import grow_group
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan, make_plan
from rsmtdf_core.views.settings import ViewSettings

SHAPE = TokenShape("tiny", 3, 3, 5)
IDENTITY = {"model": "tiny", "weights_sha256": "a" * 64, "preprocessing": {"mean": [0.5, 0.5, 0.5]}}

PlanMaker = Callable[..., ViewPlan]
Extract = Callable[..., FeatureStore]


def tokens_of(row: int) -> np.ndarray:
    return np.random.default_rng(row).standard_normal(SHAPE.record_shape, np.float32)


@pytest.fixture
def make() -> PlanMaker:
    def plan(
        views: int = 2, scenes: int = 9, seed: int = 0, crop: int = 28, **settings: float
    ) -> ViewPlan:
        listed = [
            Scene(f"s{n:03}", f"s{n:03}.png", f"m{n:03}.png", 64, 48, sha256=f"{n:064x}")
            for n in range(scenes)
        ]
        counts = {"unlabeled_views": views, "labeled_views": views}
        return make_plan(
            listed[:2], listed[2:], ViewSettings(crop=crop, **counts, **settings), seed
        )

    return plan


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """Stage one without a teacher; `shard_bytes` of 512 gives shards of 4 records."""

    def run(
        plan: ViewPlan,
        identity: dict[str, object] = IDENTITY,
        shard_bytes: int = 512,
        *,
        codec: str = "fp16",
        commit: bool = True,
    ) -> FeatureStore:
        group = grow_group(tmp_path, plan)
        rows = group.rows(plan)
        sample = np.stack([tokens_of(row) for row in range(4)])
        store = create_store(
            group,
            identity,
            SHAPE,
            declare_codec(codec),
            lambda: sample,
            probe=[0.5, 0.25],
            shard_bytes=shard_bytes,
        )
        store.adopt()
        missing = store.missing_rows(rows)
        for block in store.blocks(missing):
            records = (tokens_of(row) if row in set(missing.tolist()) else None for row in block)
            store.append(write_block(store.path, block, records))
        if commit:
            store.commit(rows, 1.5)
        return store

    return run


@pytest.fixture
def store(make: PlanMaker, extract: Extract) -> FeatureStore:
    """A committed store of 18 views in 5 shards."""
    return extract(make())
