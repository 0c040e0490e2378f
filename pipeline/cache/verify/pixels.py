"""The pixels' store: records are what is rendered from the images and masks that are here now."""

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
    """Records rendered again are those that are stored; `count` as in `GroupViews.check_replay`.

    Raises:
        StoreMismatchError: where they are not.
        SkippedError: where no scene is here.
    """
    views.check_scenes(rows)
    chosen = views.renderable(rows)
    sample = chosen if count is None else spread(chosen, count)
    reader = FeatureReader(store, np.arange(store.metadata.rows), check="always")

    def same(row: int) -> bool:
        stored = np.empty((1, *store.codec.stored_shape), np.uint8)
        reader.gather(np.array([row]), stored)
        return np.array_equal(stored[0], pixel_record(views.renderer, int(views.place[row])))

    again = f"make the store again: {set_aside_command(store.path)}; then {EXTRACT}"
    views.require(sample.tolist(), same, "records", f"restore the files; or {again}", reporter)
    return f"{len(sample)} of {len(rows)} records rendered again are those that are stored"


def check_masks(
    store: FeatureStore, views: GroupViews, rows: Rows, config: ExperimentConfig
) -> str:
    """The masks have the bytes of which the pixels were made.

    Raises:
        StoreMismatchError: where they have not.
        SkippedError: where the config reads masks in another way.
    """
    chosen = views.place[views.renderable(rows)]
    table = views.plan.table[chosen]
    labeled = np.unique(table["scene"][table["labeled"]]).tolist()
    plan = replace(views.plan, labeled_scenes=tuple(labeled))
    experiment = Experiment(config, views.dataset, plan)
    if pixels_identity(experiment) != store.metadata.identity:
        raise SkippedError("the config's manifest makes other class ids of the masks")
    changed = changed_masks(experiment, store)
    if changed:
        scene = next(one for one in plan.scenes if one.id == changed[0])
        raise StoreMismatchError(
            f"the masks of {len(changed)} of {len(labeled)} scenes are not those whose pixels are stored "
            f"({', '.join(changed[:3])})",
            where=views.dataset.root / (scene.mask or ""),
            remedy=f"restore the mask; or make its views again: {EXTRACT}",
        )
    return f"the masks of {len(labeled)} scenes are those whose pixels are stored"
