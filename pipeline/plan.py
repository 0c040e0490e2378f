"""From a config to the scenes and views of an experiment: the first step of both stages."""

from dataclasses import dataclass

from pipeline.config import ExperimentConfig
from rsmtdf_core.manifests.scenes import Dataset, Scene, draw_labeled, find_scenes, with_digests
from rsmtdf_core.manifests.schema import load_manifest
from rsmtdf_core.views.plan import ViewPlan, make_plan


@dataclass(frozen=True, slots=True)
class Experiment:
    """A config with its scenes and views.

    Attributes:
        config: the config.
        dataset: all scenes, by split.
        plan: the views of the training scenes.
    """

    config: ExperimentConfig
    dataset: Dataset
    plan: ViewPlan


def plan_experiment(config: ExperimentConfig) -> Experiment:
    """Find the scenes, draw the labeled ones and write out every view.

    Raises:
        DataError: where the scenes are not as the manifest says.
    """
    dataset = find_scenes(load_manifest(config.data.manifest), config.data.root)
    labeled, unlabeled = training_scenes(dataset, config)
    plan = make_plan(labeled, unlabeled, config.views, config.views_seed)
    return Experiment(config, dataset, plan)


def training_scenes(
    dataset: Dataset, config: ExperimentConfig
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """The labeled and the unlabeled training scenes, with digests."""
    scenes = with_digests(dataset, dataset.splits["train"])
    return draw_labeled(scenes, config.data.labeled, config.data.labeled_seed)
