"""Caches for tests: stores of drawn numbers, made as stage one makes them, without a teacher."""

import numpy as np

from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.group import grow_group
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import ViewSettings


def make_store(
    cache, teacher="tiny", *, views=2, scenes=9, seed=0, codec="fp16", commit=True, salt=0,
    random_weights=False,
):  # fmt: skip
    """A store of `scenes * views` records in shards of four; `salt` changes the tokens alone, not what
    the codec is fitted to."""
    shape = TokenShape(teacher, 3, 3, 5)
    listed = [
        Scene(f"s{n:03}", f"s{n:03}.png", f"m{n:03}.png", 64, 48, sha256=f"{n:064x}")
        for n in range(scenes)
    ]
    settings = ViewSettings(crop=28, unlabeled_views=views, labeled_views=views)
    plan = make_plan(listed[:2], listed[2:], settings, seed)
    group = grow_group(cache, plan)
    rows = group.rows(plan)

    def tokens(row, salt=salt):
        return np.random.default_rng([row, salt]).standard_normal(shape.record_shape, np.float32)

    sample = np.stack([tokens(row, salt=0) for row in range(4)])
    store = create_store(
        group,
        {"model": teacher, "weights_sha256": "a" * 64},
        shape,
        declare_codec(codec),
        lambda: sample,
        probe=[0.5, 0.25],
        random_weights=random_weights,
        shard_bytes=512,
    )
    missing = store.missing_rows(rows)
    for block in store.blocks(missing):
        wanted = set(missing.tolist())
        store.append(
            write_block(store.path, block, (tokens(r) if r in wanted else None for r in block))
        )
    group.set_crops(rows, (rows + 1).astype(np.uint32))
    if commit:
        store.commit(rows, 1.5)
    return store


def tree(folder):
    """Each file below, with its bytes; locks and copies left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.suffix != ".copy"
    }
