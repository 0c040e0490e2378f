"""Create everything that a training needs: accelerator, phases, model, optimizer and views (tests: test_run.py)."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, TorchDynamoPlugin, set_seed

from pipeline.config import ExperimentConfig
from pipeline.models import attach_teachers, build_model, require_teachers
from pipeline.plan import Experiment
from pipeline.train.features import Features, find_features
from pipeline.train.phases import PRETRAIN, Phase, Phases
from rsmtdf_core.allocator import keep_freed_memory
from rsmtdf_core.errors import RunError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.student.segmenter import TokenSegmenter
from rsmtdf_core.training.data import StepDataset
from rsmtdf_core.training.ema import ema_copy
from rsmtdf_core.training.loop import Training, make_optimiser
from rsmtdf_core.training.methods.base import hooks_of, objective_class
from rsmtdf_core.training.methods.labeled import Task
from rsmtdf_core.training.schedule import BatchSchedule, PooledSchedule
from rsmtdf_core.training.sources import CachedPixels, PixelSource, RenderedPixels
from rsmtdf_core.views.render import ViewRenderer
from rsmtdf_core.views.settings import FRESH

# How long other processes wait for the main process to save and validate.
PATIENCE = timedelta(hours=6)
# The backend of torch.compile.
COMPILER = "inductor"


def make_accelerator(config: ExperimentConfig) -> Accelerator:
    """Set up device, precision and process group from the config, and seed every generator.

    Raises:
        RunError: If this machine does not support them.
    """
    if not torch.distributed.is_initialized():
        # accelerate stores the first precision of a process and would reject another one.
        AcceleratorState._reset_state(reset_partial_state=True)
    precision = {"fp32": "no"}.get(config.runtime.precision, config.runtime.precision)
    try:
        accelerator = Accelerator(
            cpu=config.runtime.device == "cpu",
            mixed_precision=precision,
            log_with=list(config.runtime.trackers) or None,
            dynamo_plugin=TorchDynamoPlugin(backend=COMPILER if config.runtime.compile else "no"),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    except ValueError as error:
        if "mixed precision" in str(error):
            raise _unsupported(precision, str(error)) from error
        raise RunError(
            f"the processes of the training cannot be set up: {error}",
            remedy="start several processes by torchrun, which sets their environment",
        ) from error
    if precision == "fp16" and accelerator.device.type == "cpu":
        # Here accelerate would silently compute in fp32.
        raise _unsupported(precision, "it needs a GPU")
    if config.runtime.device == "cuda" and accelerator.device.type != "cuda":
        raise RunError(
            "runtime.device is cuda, but there is no GPU", remedy="--set runtime.device=auto"
        )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    set_seed(config.seed)
    return accelerator


def _unsupported(precision: str, why: str) -> RunError:
    return RunError(
        f"this machine cannot train in {precision}: {why}",
        where="runtime.precision",
        remedy="--set runtime.precision=fp32",
    )


def make_phases(experiment: Experiment, accelerator: Accelerator) -> Phases:
    """Find the features of each phase of the experiment's config, and create its training at step 0.

    Raises:
        StoreError: If the cache does not contain all of the features.
    """
    phases: list[Phase] = []
    *before, method = experiment.config.phases
    for config, name in (*((config, PRETRAIN) for config in before), (method, "")):
        part = replace(experiment, config=config)
        features = find_features(part, accelerator.device)
        if config.method.predicts_from == "tokens":
            require_teachers(config, (features.lock or {}).get("stores", {}))
        first_step = phases[-1].training.end if phases else 0
        training = make_training(part, features, accelerator, first_step)
        phases.append(Phase(part, features, training, name))
    return Phases(phases)


def make_training(
    experiment: Experiment, features: Features, accelerator: Accelerator, first_step: int = 0
) -> Training:
    """Create the student, its EMA model, optimizer and data sources of an experiment, at step 0.

    Args:
        experiment: the experiment, with the config of a phase.
        features: the features of the phase.
        accelerator: device, precision and process group.
        first_step: number of steps of the run before this training.
    """
    config, manifest = experiment.config, experiment.dataset.manifest
    objective = objective_class(config.objective.method)(
        config.objective, manifest.ignore_id, config.seed
    )
    task = Task(manifest.class_names, accelerator.device, lambda: labeled_pixels(experiment))
    hooks_of(objective).prepare(task)
    # Seed again, because building a teacher for the loop draws random numbers.
    set_seed(config.seed)
    student = build_model(config, manifest, features.shapes)
    if isinstance(student, TokenSegmenter):
        student.set_statistics(features.statistics)
        stores = (features.lock or {}).get("stores", {})
        attach_teachers(student, config, stores, accelerator.device)
    student.to(accelerator.device)
    on_gpu = accelerator.device.type == "cuda"
    if on_gpu:
        student.to(memory_format=torch.channels_last)  # faster convolutions
    ema = ema_copy(student)
    student.checkpoint_activations(config.runtime.activation_checkpointing)
    schedule = make_schedule(experiment, accelerator.process_index, accelerator.num_processes)
    return Training(
        accelerator=accelerator,
        student=student,
        ema=ema,
        optimiser=make_optimiser(student, config.optimiser),
        objective=objective,
        pixels=_pixels(experiment, features, schedule, config.method.strong_views, pin=on_gpu),
        targets=features.targets,
        settings=config.optimiser,
        trains_head=config.method.trains_head,
        first_step=first_step,
        parts=config.runtime.accumulate,
        compiler=COMPILER if config.runtime.compile else None,
    )


def make_schedule(experiment: Experiment, rank: int = 0, world: int = 1) -> BatchSchedule:
    """Return the views of each step of process `rank` of `world`.

    Raises:
        ConfigError: If there are too few scenes for a batch.
    """
    config = experiment.config
    drawn = (experiment.plan, config.optimiser.batch, config.seed, rank, world)
    if not config.method.trains_head:
        return PooledSchedule(*drawn, samples=config.objective.samples)
    return BatchSchedule(*drawn, trains_unlabeled=config.method.strong_views > 0)


def labeled_pixels(experiment: Experiment) -> npt.NDArray[np.int64]:
    """Count the pixels of each class in the masks of the labeled scenes, without ignored pixels: int64 [C]."""
    manifest, reader = experiment.dataset.manifest, SceneReader(experiment.dataset)
    counts = np.zeros(len(manifest.classes), np.int64)
    for index in experiment.plan.labeled_scenes:
        mask = reader.mask(experiment.plan.scenes[index])
        counts += np.bincount(mask[mask != manifest.ignore_id], minlength=len(counts))
    return counts


def _pixels(
    experiment: Experiment,
    features: Features,
    schedule: BatchSchedule,
    strong_views: int,
    *,
    pin: bool,
) -> PixelSource:
    runtime, plan = experiment.config.runtime, experiment.plan
    renderer = ViewRenderer(SceneReader(experiment.dataset), plan)
    if features.pixels is not None:
        reader = FeatureReader(features.pixels, features.pixels.require(plan), runtime.check)
        fresh = None
        if plan.settings.labeled_views == FRESH and not schedule.pooled:
            fresh = RenderedPixels(StepDataset(renderer, schedule, None, 0), runtime.workers, False)
        return CachedPixels(reader, schedule, strong_views, pin, fresh)
    dataset = StepDataset(renderer, schedule, features.crops, strong_views)
    return RenderedPixels(dataset, runtime.workers, pin)
