"""The probe stage: score teachers and students by linear heads on a few labeled views, before or after training."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.config import ConfigSource, ExperimentConfig, load_config
from pipeline.probe.sample import sample_views
from pipeline.probe.scoring import Scoring
from pipeline.probe.sources import (
    Computing,
    Source,
    initial_student,
    learned_targets,
    student_source,
    teacher_source,
)
from pipeline.probe.values import FeatureKind, ProbeReport
from pipeline.probe.verdict import advise, limits, retention
from pipeline.reporter import Reporter, Silent
from pipeline.sections import RuntimeSettings
from pipeline.trained import TrainedRun, inference_device, load_run
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.pretrained import fetch_encoder
from rsmtdf_core.teachers.teacher import declared_shape
from rsmtdf_core.validation import validate


def open_source(
    source: ConfigSource,
    overrides: Sequence[str] = (),
    cache: Path | None = None,
    checkpoint: Choice | None = None,
) -> tuple[ExperimentConfig, TrainedRun | None]:
    """Return a config, or the config of a run with its model if `source` is a folder.

    Args:
        source: a config, or the folder of a run.
        overrides: `key=value`; for a run only inference settings and `runtime.device`.
        cache: folder of the stores; overrides `runtime.cache`.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint of the run; None uses the
            best.

    Raises:
        ConfigError: If the config or an override is invalid, or a checkpoint is given without a run.
        RunError: If the run or its checkpoint is damaged.
    """
    run = None
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        run = load_run(Path(source), None, overrides, checkpoint)
        # The run's copy of the manifest: the file that the config names may have changed.
        data = run.config.data.model_copy(update={"manifest": str(run.folder.manifest)})
        config = run.config.model_copy(update={"data": data})
    elif checkpoint is not None:
        raise ConfigError(
            "a checkpoint belongs to a run", where="--checkpoint", remedy="give the run's folder"
        )
    else:
        config = load_config(source, overrides)
    if cache is not None:
        folder = validate(RuntimeSettings, {"cache": cache}, "--cache").cache
        runtime = config.runtime.model_copy(update={"cache": folder})
        config = config.model_copy(update={"runtime": runtime})
    return config, run


def probe(
    config: ExperimentConfig,
    run: TrainedRun | None = None,
    *,
    split: SplitName | None = None,
    views: int = 64,
    scenes: int | None = None,
    reporter: Reporter | None = None,
) -> ProbeReport:
    """Score the features of teachers and students with linear heads, cross-validated by scene.

    Args:
        config: the experiment; for a run, its config.
        run: a trained run, whose student is scored too.
        split: split of the views; by default "train" (its labeled scenes) for a config, and "val" for a run.
        views: maximum number of views.
        scenes: maximum number of scenes.
        reporter: shows progress.

    Raises:
        ConfigError: If the config has no teachers, or a model does not fit the views.
        DataError: If fewer than two images have masks.
        TeacherError: If the cache lacks a teacher's tokens and the teacher cannot be loaded.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    if not config.teachers:
        raise ConfigError("the config names no teacher", remedy="list some under `teachers`")
    shapes = [declared_shape(teacher, config.views.crop) for teacher in config.teachers]
    # Resizing commutes with a linear head, so coarser tokens lose nothing on the finest grid.
    grid = max(shape.height for shape in shapes), max(shape.width for shape in shapes)
    chosen: SplitName = split or ("train" if run is None else "val")
    sample = sample_views(config, chosen, views, scenes)
    for sentence in sample.experiment.cautions:
        reporter.warn(sentence)
    device = inference_device(config)
    with ExitStack() as stack:
        computing = Computing(sample.experiment, device, stack, reporter)
        teachers = [teacher_source(computing, teacher) for teacher in config.teachers]
        students = _students(computing, config, run, grid)
        scoring = Scoring(sample, computing.renderer, grid, teachers, students)
        with reporter.bar("fit and score", scoring.passes) as bar:
            scores = scoring.run(bar)
        kept = scoring.kept() if run is not None else []
    worth, verdict = advise(scores) if run is None else (None, retention(scores, kept))
    folds = sum(value is not None for value in scores[0].fold_miou)
    cautions = limits(scores, len(sample.folds), sum(map(len, sample.scenes)), folds)
    if run is not None and chosen == "train":
        cautions += ("the student trained on these scenes: its scores on new scenes may be lower",)
    return ProbeReport(
        config=config.name,
        run=None if run is None else str(run.folder.path),
        split=chosen,
        device=device.type,
        grid=grid,
        views=len(sample.folds),
        folds=sample.scenes,
        plan_views=sample.plan_views,
        features=tuple(scores),
        kept=tuple(kept),
        worth_caching=worth,
        verdict=verdict,
        cautions=cautions,
        seconds=time.perf_counter() - began,
    )


def _student_of(run: TrainedRun) -> Student:
    if isinstance(run.student, Student):
        return run.student
    raise RunError(
        f"the model of {run.config.objective.method} is a head on the teachers' tokens and has no features to probe",
        where=run.folder.path,
        remedy="probe its config instead, for the teachers' tokens",
    )


def _students(
    computing: Computing, config: ExperimentConfig, run: TrainedRun | None, grid: tuple[int, int]
) -> list[Source]:
    """Return the features of the trained student, of the student as configured, and of random weights."""
    bands = computing.experiment.dataset.manifest.image_bands
    students = []
    if run is not None:
        name = f"student trained ({run.weights})"
        trained = _student_of(run)
        targets = learned_targets(run.checkpoint.method_tensors())
        students.append(
            student_source(computing, trained, name, "trained student", grid, targets=targets)
        )
    if config.student.weights != "random":
        try:
            fetch_encoder(config.student)
            student = initial_student(config, config.student, bands)
            students.append(student_source(computing, student, "student", "student", grid))
        except (OSError, ConfigError, MissingFileError) as failure:
            # A student that fits no view fails below too.
            reason = str(failure).splitlines()[0]
            computing.reporter.warn(f"the student's initial features are not scored: {reason}")
    settings = config.student.model_copy(update={"weights": "random"})
    student = initial_student(config, settings, bands)
    # If training starts from random weights, these are its initial features.
    kind: FeatureKind = "student" if config.student.weights == "random" else "random student"
    name = "student, random weights"
    students.append(student_source(computing, student, name, kind, grid, random_weights=True))
    return students
