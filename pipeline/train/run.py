"""Stage two: train the student on labeled and unlabeled views and, for some methods, on cached tokens.

No teacher is loaded unless the config asks for the online control; an assertion verifies this. Only the validations of
methods that predict from tokens load teachers. With several processes (torchrun), only the main process writes to the
run's folder and reports progress.
"""

from contextlib import ExitStack
from pathlib import Path

from pipeline.config import ExperimentConfig
from pipeline.plan import plan_experiment, require_unlabeled
from pipeline.reporter import Reporter, Silent
from pipeline.statistics import with_statistics
from pipeline.train.initial import find_initial, start_from
from pipeline.train.journal import TrainReport
from pipeline.train.opening import open_phase
from pipeline.train.session import Session
from pipeline.train.setup import make_accelerator, make_phases
from pipeline.train.signals import end_with_launcher
from pipeline.train.trackers import require_trackers
from rsmtdf_core.cache.usage import begin_run, end_run
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.evaluation.inference import nearest_multiple
from rsmtdf_core.files import require_writable_folder
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.lock import hold_run
from rsmtdf_core.runs.resuming import GlobalBatch
from rsmtdf_core.runs.starting import prepare_run, require_startable
from rsmtdf_core.store.locks import reading
from rsmtdf_core.teachers.teacher import live_teachers
from rsmtdf_core.training.loop import Training


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
            require_startable(folder, resume=resume, overwrite=overwrite)
            _require_same_processes(config, folder, accelerator.num_processes, resume=resume)
            held.enter_context(hold_run(folder.path, reporter.warn))
            prepare_run(
                folder,
                config,
                experiment.dataset.manifest,
                resume=resume,
                overwrite=overwrite,
                initial=None if initial is None else initial.facts,
                trained_on=None if initial is None else initial.trained_on,
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
