"""Time a step of the student and a view of the teacher on this machine (tests: test_run.py)."""

from pipeline.cache.plan.measuring import rendered_views, run_teacher, step_seconds
from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, planned
from pipeline.start.looking import training_scenes
from pipeline.start.values import Timing
from pipeline.train.setup import make_accelerator
from rsmtdf_core.scenes.find import Dataset, with_digests

_SCENES = 64
_VIEWS = 4


def measure(config: ExperimentConfig, dataset: Dataset) -> Timing:
    """Run a few steps and, with a teacher, a few of its views; writes no file.

    Args:
        config: the config of the training.
        dataset: its scenes.

    Raises:
        ConfigError: If the student cannot be built.
        TeacherError: If the teacher cannot be built.
    """
    experiment = _sample(config, dataset)
    accelerator = make_accelerator(config)
    step = step_seconds(experiment, accelerator)
    if not config.teachers:
        return Timing(step=step)
    views, rendering = rendered_views(experiment, _VIEWS)
    run = run_teacher(config.teachers[0], views, _VIEWS, accelerator.device)
    return Timing(step=step, teacher=run.seconds + run.copy_seconds + rendering)


def _sample(config: ExperimentConfig, dataset: Dataset) -> Experiment:
    """Plan views of a few scenes, so that a large dataset is not read as a whole."""
    labeled, unlabeled = (
        with_digests(dataset, scenes[:_SCENES]) for scenes in training_scenes(dataset)
    )
    return planned(config, dataset, labeled, unlabeled)
