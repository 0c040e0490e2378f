"""Choose the labeled views of a probe, and the fold of each: all views of a raster are in one fold."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, find_dataset, plan_experiment, planned
from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.evaluation.scoring import scored_scenes
from rsmtdf_core.probing.spread import MOST_FOLDS
from rsmtdf_core.scenes.find import with_digests
from rsmtdf_core.scenes.labeled import LabeledImages
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.views.draws import key_digest
from rsmtdf_core.views.settings import FRESH
from rsmtdf_core.words import counted

_FRESH_VIEWS = 4


@dataclass(frozen=True)
class Sample:
    """The views of a probe.

    Attributes:
        experiment: the experiment, with a plan that has only the sampled views.
        folds: fold of each view, int64 [views].
        scenes: ids of the scenes of each fold.
        plan_views: number of views in the plan of the config.
    """

    experiment: Experiment
    folds: Rows
    scenes: tuple[tuple[str, ...], ...]
    plan_views: int


def sample_views(
    config: ExperimentConfig, split: SplitName, views: int, scenes: int | None
) -> Sample:
    """Choose views of labeled scenes, spread over as many scenes as possible.

    The choice depends on the ids of the scenes and on `views_seed`, not on the order of scenes or teachers.

    Args:
        config: the experiment.
        split: "train" for its labeled scenes, or the scenes with masks of another split.
        views: maximum number of views.
        scenes: maximum number of scenes; None for no limit.

    Raises:
        ConfigError: If `views` or `scenes` is below 2.
        DataError: If fewer than two rasters have masks.
    """
    if views < 2 or (scenes is not None and scenes < 2):
        raise ConfigError("a probe needs at least 2 views of 2 scenes", remedy="raise the limits")
    experiment = _experiment(config, split)
    plan, seed = experiment.plan, config.views_seed
    labeled = sorted(
        plan.labeled_scenes, key=lambda scene: key_digest(seed, "probe", plan.scenes[scene].id)
    )
    chosen = labeled[:scenes]
    ranks = {scene: rank for rank, scene in enumerate(chosen)}
    table = plan.table
    scene_of, number_of = table["scene"].tolist(), table["number"].tolist()
    rows = [row for row in np.flatnonzero(table["labeled"]).tolist() if scene_of[row] in ranks]
    rows.sort(key=lambda row: (number_of[row], ranks[scene_of[row]]))
    rows = sorted(rows[:views])
    sampled = [plan.scenes[scene] for scene in table["scene"][rows].tolist()]
    fold_of = _folds(sampled, seed)
    if len(set(fold_of.values())) < 2:
        raise _too_few(experiment, split, len({plan.scenes[scene].image for scene in labeled}))
    folds = np.array([fold_of[scene.image] for scene in sampled])
    names = tuple(
        tuple(sorted({scene.id for scene in sampled if fold_of[scene.image] == fold}))
        for fold in range(max(fold_of.values()) + 1)
    )
    chosen_views = replace(experiment, plan=replace(plan, table=table[rows]))
    return Sample(chosen_views, folds, names, len(plan))


def _experiment(config: ExperimentConfig, split: SplitName) -> Experiment:
    views = config.views_in_force
    if views.labeled_views == FRESH:
        # Training draws such views without end; a probe takes the first ones.
        views = views.model_copy(update={"labeled_views": _FRESH_VIEWS})
        config = config.model_copy(update={"views": views})
    if split == "train":
        return plan_experiment(config)
    dataset = find_dataset(config)
    return planned(
        config, dataset, with_digests(dataset, scored_scenes(dataset.splits.get(split, ())))
    )


def _folds(scenes: list[Scene], seed: int) -> dict[str, int]:
    """Assign rasters to folds in turn. Windows of one raster resemble each other, so they stay together."""
    rasters = sorted(
        {scene.image for scene in scenes}, key=lambda image: key_digest(seed, "probe", image)
    )
    count = min(MOST_FOLDS, len(rasters))
    return {raster: number % count for number, raster in enumerate(rasters)}


def _too_few(experiment: Experiment, split: SplitName, rasters: int) -> DataError:
    data = experiment.config.data
    if rasters >= 2:
        return DataError(
            "the sample has views of a single image, and a probe compares at least two",
            remedy="raise --views and --scenes",
        )
    count = counted(rasters, "image")
    if split == "train":
        what = f"a probe holds out images with masks, and {count} of the training split is labeled"
        remedy = (
            "add masks to training images, or list more under `labeled` of the manifest"
            if experiment.dataset.manifest.labeled is not None
            else f"label more: {_more(data.labeled)}, or add masks"
        )
    else:
        what = f"a probe holds out images with masks, and {count} of the split {split!r} has one"
        remedy = "choose another --split"
    return DataError(what, where=data.root, remedy=remedy)


def _more(labeled: float | LabeledImages) -> str:
    if isinstance(labeled, float):
        return f"--set data.labeled={min(1.0, 4 * labeled):g}"
    return "name more images in data.labeled"
