"""Check a store of pixels against the current images and masks."""

from dataclasses import replace

import numpy as np

from pipeline.cache.verify.report import SkippedError
from pipeline.cache.verify.views import GroupViews, spread
from pipeline.config import ExperimentConfig
from pipeline.pixel_store import changed_masks, pixels_identity
from pipeline.plan import Experiment
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache_names import set_aside_command
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.records import pixel_record


def check_pixels(
    store: FeatureStore, views: GroupViews, rows: Rows, count: int | None, reporter: Reporter
) -> str:
    """Render records again and compare them with the stored ones; `count` as in `GroupViews.check_replay`.

    Raises:
        StoreMismatchError: If a record differs.
        SkippedError: If the dataset has none of the scenes.
    """
    views.check_scenes(rows)
    chosen = views.renderable(rows)
    sample = chosen if count is None else spread(chosen, count)
    reader = FeatureReader(store, np.arange(store.metadata.rows), check="always")

    def same(row: int) -> bool:
        stored = np.empty((1, *store.codec.stored_shape), np.uint8)
        reader.gather(np.array([row]), stored)
        return np.array_equal(stored[0], pixel_record(views.renderer, int(views.plan_rows[row])))

    again = f"extract the store again: {set_aside_command(store.path)}; then {EXTRACT}"
    views.require(sample.tolist(), same, "records", f"restore the files; or {again}", reporter)
    return f"{len(sample)} of {len(rows)} records were rendered again and equal the stored ones"


def check_masks(
    store: FeatureStore, views: GroupViews, rows: Rows, config: ExperimentConfig
) -> str:
    """Check that the masks have not changed since the pixels were stored.

    Raises:
        StoreMismatchError: If a mask has changed.
        SkippedError: If the config reads masks in another way.
    """
    chosen = views.plan_rows[views.renderable(rows)]
    table = views.plan.table[chosen]
    labeled = np.unique(table["scene"][table["labeled"]]).tolist()
    plan = replace(views.plan, labeled_scenes=tuple(labeled))
    experiment = Experiment(config, views.dataset, plan)
    if pixels_identity(experiment) != store.metadata.identity:
        raise SkippedError("the config's manifest maps the masks to other class ids")
    changed = changed_masks(experiment, store)
    if changed:
        first = next(scene for scene in plan.scenes if scene.id == changed[0])
        raise StoreMismatchError(
            f"the masks of {len(changed)} of {len(labeled)} scenes have changed since their pixels were stored "
            f"({', '.join(changed[:3])})",
            where=views.dataset.root / (first.mask or ""),
            remedy=f"restore the mask; or extract its views again: {EXTRACT}",
        )
    return f"the masks of {len(labeled)} scenes are unchanged since their pixels were stored"
