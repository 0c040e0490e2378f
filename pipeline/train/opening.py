"""The first lines of a training (tests: test_run.py)."""

from pipeline.config import ExperimentConfig
from pipeline.reporter import Reporter
from pipeline.train.phases import Phase
from rsmtdf_core.training.methods.base import hooks_of
from rsmtdf_core.views.settings import FRESH


def open_phase(reporter: Reporter, phase: Phase) -> None:
    """Describe the training of a phase, and the choices that its method made from the data."""
    reporter.say(_opening(phase))
    for note in hooks_of(phase.training.objective).notes:
        reporter.say(note)


def _opening(phase: Phase) -> str:
    """Describe the training of a phase in a line."""
    experiment, training = phase.experiment, phase.training
    config, schedule = experiment.config, training.schedule
    method = config.objective.method
    scenes = f"{len(experiment.plan.labeled_scenes)} labeled"
    unlabeled = f"{len(experiment.plan.unlabeled_scenes)} unlabeled"
    if config.method.strong_views:
        scenes += f" and {unlabeled}"
    if not config.method.trains_head and (samples := config.objective.samples) != "both":
        scenes = f"the {samples} of {scenes}"
    processes = training.accelerator.num_processes
    batch = f"{schedule.total}"
    if processes > 1:
        batch += f" ({processes} processes x {schedule.batch})"
    parts = f" in {training.parts} parts" if training.parts > 1 else ""
    crops = "crops" if schedule.pooled else "labeled crops"
    optimiser = config.optimiser
    rate = f"lr {optimiser.scaled_lr(schedule.total):g}"
    if optimiser.scale_lr == "linear":
        rate += f" (linear: {optimiser.lr:g} x {schedule.total} / {optimiser.lr_batch})"
    else:
        rate += " (scale_lr: none)"
    if warmup := optimiser.warmup_steps(training.total_steps):
        rate += f" after {warmup} steps of warm-up"
    teachers = ""
    if config.method.predicts_from == "tokens":
        names = ", ".join(teacher.name for teacher in config.distilled)
        teachers = f"; validations load the teachers {names}"
    device, precision = training.accelerator.device.type, config.runtime.precision
    return (
        f"{method} on {scenes} scenes: {training.total_steps} steps of {batch} {crops}{parts}, "
        f"{rate}, {precision} on {device}{teachers}{_fresh_views(config)}"
    )


def _fresh_views(config: ExperimentConfig) -> str:
    """Describe the fresh views of a training, with a comma before; empty if there are none."""
    views = config.views_in_force
    counts = {"labeled": views.labeled_views, "unlabeled": views.unlabeled_views}
    fresh = [role for role, count in counts.items() if count == FRESH]
    if not config.method.strong_views:
        fresh = [role for role in fresh if role == "labeled"]
    undistilled = ", which are not distilled" if config.teacher_source == "cached" else ""
    return f", fresh {' and '.join(fresh)} views{undistilled}" if fresh else ""
