"""Stage two: train the student on labeled and unlabeled views and, for some methods, on cached tokens.

No teacher is loaded unless the config asks for the online control; an assertion verifies this. Only the validations of
methods that predict from tokens load teachers. With several processes (torchrun), only the main process writes to the
run's folder and reports progress.
"""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, TorchDynamoPlugin, set_seed

from pipeline.config import ExperimentConfig
from pipeline.models import attach_teachers, build_model, require_teachers
from pipeline.plan import Experiment, plan_experiment, require_unlabeled
from pipeline.reporter import Reporter, Silent
from pipeline.statistics import with_statistics
from pipeline.train.features import Features, find_features
from pipeline.train.initial import find_initial, start_from
from pipeline.train.journal import TrainReport
from pipeline.train.opening import open_phase
from pipeline.train.phases import PRETRAIN, Phase, Phases
from pipeline.train.session import Session
from pipeline.train.signals import end_with_launcher
from pipeline.train.trackers import require_trackers
from rsmtdf_core.allocator import keep_freed_memory
from rsmtdf_core.cache.usage import begin_run, end_run
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.evaluation.inference import nearest_multiple
from rsmtdf_core.files import require_writable_folder
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.lock import hold_run
from rsmtdf_core.runs.resuming import GlobalBatch
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.locks import reading
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.student.segmenter import TokenSegmenter
from rsmtdf_core.teachers.teacher import live_teachers
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


def train(
    config: ExperimentConfig,
    run: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    init_from: Path | None = None,
    profile: bool = False,
    exits: bool = False,
    reporter: Reporter | None = None,
) -> TrainReport:
    """Train the config's experiment in the folder `run` (by default named after the config).

    Args:
        config: config of the experiment.
        run: the run's folder.
        resume: continue the existing run.
        overwrite: delete the existing run.
        init_from: a run, checkpoint or weights file with the initial weights of a new run.
        profile: trace a few steps.
        exits: a second SIGINT or SIGTERM ends the process at once; otherwise the previous handler gets it.
        reporter: shows progress.

    Raises:
        ConfigError: If the method needs unlabeled scenes, or more of them.
        RunError: If the run folder does not match `resume` and `overwrite`, another process trains the
            run, or the loss diverges.
        StoreError: If the cache does not contain the features that the config needs.
        Interrupted: After SIGINT or SIGTERM, once the training is saved.
    """
    assert not (resume and init_from), "a resumed run starts from its own weights"
    require_trackers(config)
    end_with_launcher()
    config = with_statistics(config)
    teachers_before = live_teachers()
    reporter = reporter or Silent()
    with reporter.status("reading the scenes"):
        experiment = plan_experiment(config)
    require_unlabeled(experiment)
    accelerator = make_accelerator(config)
    folder = RunFolder(run or config.run_folder)
    if accelerator.is_main_process:
        require_writable_folder(folder.path)
    if not accelerator.is_main_process:
        reporter = Silent()
    with reporter.status("building the student"):
        phases = make_phases(experiment, accelerator)
    features, training = phases.features, phases.current.training
    for sentence in (*experiment.cautions, *features.cautions):
        reporter.warn(sentence)
    _require_fitting_window(config, training.student.patch)
    if config.teacher_source == "cached":
        # Fewer is fine: a worker in this process may just have released its teacher.
        assert live_teachers() <= teachers_before, (
            "a teacher was loaded although its tokens are cached"
        )
    initial = None if init_from is None else find_initial(init_from)
    if initial is not None:
        start_from(initial, training.student, training.ema, reporter)
    _caution(training, config, reporter, initialized=initial is not None)
    # Last, so that a training that cannot start leaves no folder and deletes no run.
    with ExitStack() as held:
        if accelerator.is_main_process:
            folder.require_startable(resume=resume, overwrite=overwrite)
            _require_same_processes(config, folder, accelerator.num_processes, resume=resume)
            held.enter_context(hold_run(folder.path, reporter.warn))
            folder.prepare(
                config,
                experiment.dataset.manifest,
                resume=resume,
                overwrite=overwrite,
                initial=None if initial is None else initial.facts,
                batch=GlobalBatch(accelerator.num_processes, config.optimiser.batch),
            )
        accelerator.wait_for_everyone()
        for phase in phases:
            open_phase(reporter, phase)
        session = Session(experiment, phases, folder, reporter, profile=profile, exits=exits)
        cache = config.runtime.cache_folder
        if accelerator.is_main_process and features.stores:
            _warn(reporter, begin_run(cache, folder.path, features.stores))
        with reading(features.stores):
            session.run(resume=resume)
        if accelerator.is_main_process and features.stores:
            _warn(reporter, end_run(cache, folder.path))
        accelerator.end_training()
    return session.report()


def _caution(
    training: Training, config: ExperimentConfig, reporter: Reporter, *, initialized: bool
) -> None:
    """Warn of settings of the optimizer and the encoder that are likely mistakes."""
    total = training.total_steps
    warmup = config.optimiser.warmup_steps(total)
    if warmup > total:
        reporter.warn(
            f"optimiser.warmup is {warmup} steps, but the training has {total}: it never reaches optimiser.lr"
        )
    student = config.student
    frozen = student.frozen_stages is not None or student.frozen_batch_norm
    if frozen and student.weights == "random" and not initialized:
        reporter.warn(
            "student.weights is random, and parts of the encoder are frozen: they stay random"
        )


def _require_same_processes(
    config: ExperimentConfig, folder: RunFolder, processes: int, *, resume: bool
) -> None:
    """Check that a resumed run keeps its number of processes if `objective.pretrain.batch` is set for each of them.

    Raises:
        RunError: If the run started with another number of processes.
    """
    batch = config.objective.pretrain.batch
    if not resume or batch is None or not config.objective.pretrain.steps:
        return
    started = folder.facts.get("batch", {}).get("processes", processes)
    if started != processes:
        raise RunError(
            f"the run pretrains {started * batch} crops per step ({started} x {batch}), but this command pretrains "
            f"{processes * batch} ({processes} x {batch})",
            where=folder.path,
            remedy=f"resume it with torchrun --nproc-per-node {started}",
        )


def _warn(reporter: Reporter, warning: str | None) -> None:
    if warning is not None:
        reporter.warn(warning)


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
        raise _unsupported(precision, str(error)) from error
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


def _require_fitting_window(config: ExperimentConfig, patch: int) -> None:
    """Check now that the student's patch divides the window, before the first validation needs it."""
    inference = config.evaluation.inference
    if inference.mode == "slide" and inference.window % patch:
        nearest = nearest_multiple(inference.window, patch)
        raise ConfigError(
            f"a sliding window of {inference.window} px is not a multiple of the student's patch of {patch} px",
            where="evaluation.inference.window",
            remedy=f"--set evaluation.inference.window={nearest}",
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
