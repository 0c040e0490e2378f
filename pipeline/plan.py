"""Plans the scenes and views of an experiment from its config: the first step of extraction and training."""

from dataclasses import dataclass, replace

from pipeline.config import ExperimentConfig
from pipeline.labeled import labeled_value, unheeded_by_manifest
from pipeline.statistics import uncommon_statistics
from rsmtdf_core.cache.group import find_group
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import unheeded
from rsmtdf_core.scenes.find import Dataset, find_scenes, with_digests
from rsmtdf_core.scenes.labeled import choose_labeled, listed_labeled
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.views.plan import ViewPlan, drawing_fields, make_plan
from rsmtdf_core.views.settings import FRESH
from rsmtdf_core.words import counted


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

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings about settings without effect and about the files, a sentence each."""
        return (
            *unheeded(self.config),
            *unheeded_by_manifest(self.config, self.dataset.manifest),
            *uncommon_statistics(self.config),
            *self.dataset.cautions,
        )

    def drawn_again(self, group: ViewGroup) -> "Experiment":
        """Return the experiment with the current views and pairs of `group`."""
        plan = self.plan
        labeled = tuple(plan.scenes[index] for index in plan.labeled_scenes)
        unlabeled = tuple(plan.scenes[index] for index in plan.unlabeled_scenes)
        drawn = make_plan(labeled, unlabeled, plan.settings, plan.seed, group.known)
        return replace(self, plan=drawn)


def find_dataset(config: ExperimentConfig) -> Dataset:
    """Find the scenes of a config's manifest, with the splits of its fold.

    Raises:
        ConfigError: If the manifest is invalid, or does not have the fold.
        MissingFileError, DataError: As for `find_scenes`.
    """
    return find_scenes(load_manifest(config.data.manifest, config.data.fold), config.data.root)


def plan_experiment(config: ExperimentConfig) -> Experiment:
    """Find the scenes, draw the labeled ones and write out every view.

    Views and CutMix pairs in the cache are reused for every method, so that all methods of a config train on the same
    views.

    Raises:
        ConfigError: If a teacher sees bands that the manifest lacks.
        DataError: If the scenes do not match the manifest.
        StoreDamagedError: If the tables of the cache are damaged.
    """
    manifest = load_manifest(config.data.manifest, config.data.fold)
    _require_bands(config, manifest)
    dataset = find_scenes(manifest, config.data.root)
    return planned(config, dataset, *training_scenes(dataset, config))


def planned(
    config: ExperimentConfig,
    dataset: Dataset,
    labeled: tuple[Scene, ...],
    unlabeled: tuple[Scene, ...] = (),
) -> Experiment:
    """Write out every view of these scenes, which have digests; views and pairs in the cache are reused.

    Raises:
        StoreDamagedError: If the tables of the cache are damaged.
    """
    views = config.views_in_force
    drawing = drawing_fields(views, config.views_seed)
    group = find_group(config.runtime.cache_folder, drawing, (*labeled, *unlabeled))
    known = None if group is None else group.known
    plan = make_plan(labeled, unlabeled, views, config.views_seed, known)
    return Experiment(config, dataset, plan)


def _require_bands(config: ExperimentConfig, manifest: Manifest) -> None:
    for teacher in config.teachers:
        highest = max(teacher.seen_bands)
        if highest > manifest.image_bands:
            raise ConfigError(
                f"teacher {teacher.name} sees band {highest}, and the manifest {manifest.name} has "
                f"{counted(manifest.image_bands, 'band')}",
                where=f"teachers.{teacher.name}.bands",
                remedy="add the band to bands.indices of the manifest, or correct the teacher's bands",
            )


def training_scenes(
    dataset: Dataset, config: ExperimentConfig
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Return labeled and unlabeled training scenes with digests. The manifest's list overrides the config."""
    scenes = with_digests(dataset, dataset.splits["train"])
    if (listed := dataset.manifest.labeled) is not None:
        return listed_labeled(scenes, frozenset(listed), config.data.labeled_seed)
    return choose_labeled(dataset, scenes, config.data.labeled, config.data.labeled_seed)


def require_unlabeled(experiment: Experiment) -> None:
    """Check for unlabeled scenes before any computation, if the method needs them.

    Raises:
        ConfigError: If all training scenes are labeled and the method needs unlabeled scenes.
    """
    method = experiment.config.method
    if not method.strong_views or not method.trains_head or experiment.plan.unlabeled_scenes:
        return
    manifest = experiment.dataset.manifest
    labeled = f"data.labeled is {labeled_value(experiment.config)}"
    if manifest.labeled is not None:
        labeled = f"the manifest {manifest.name} lists all of them, so data.labeled has no effect"
    raise ConfigError(
        f"{method.name} learns from unlabeled scenes too, and all "
        f"{counted(len(experiment.plan.labeled_scenes), 'training scene')} are labeled: {labeled}",
        where="data.labeled",
        remedy="add images without masks to the training split, set data.labeled below 1 so that some masks are "
        "left out, or --set objective.method=supervised",
    )


def require_views(experiment: Experiment) -> None:
    """Check that there are views to extract.

    Raises:
        ConfigError: If all views are drawn during training.
    """
    views = experiment.config.views_in_force
    if views.unlabeled_views != FRESH and len(experiment.plan):
        return
    if (
        experiment.config.views.without_teachers == FRESH
        and experiment.config.teacher_source == "none"
    ):
        raise ConfigError(
            f"{experiment.config.method.name} uses no teachers, and its views are fresh, so there are no features to "
            "extract",
            where="views.without_teachers",
            remedy="train without features; or --set views.without_teachers=planned",
        )
    role = "unlabeled" if views.unlabeled_views == FRESH else "labeled"
    raise ConfigError(
        f"views of {role} scenes are fresh, so they are drawn during training and have no features to extract",
        where=f"views.{role}_views",
        remedy=f"--set views.{role}_views=4; or train without features, with another objective.method",
    )
