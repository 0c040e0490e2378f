"""Measure every part of an experiment and recommend whether and how to cache."""

import os
import shutil
import time
from dataclasses import replace

import torch
from accelerate import Accelerator

from pipeline.cache.plan.advice import advise
from pipeline.cache.plan.disk import Disk, existing_folder, open_disk
from pipeline.cache.plan.measuring import (
    SAMPLE,
    rendered_views,
    run_codec,
    run_teacher,
    step_seconds,
)
from pipeline.cache.plan.present import present_views
from pipeline.cache.plan.values import CodecMeasured, Measurements, PlanReport, TeacherMeasured
from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, plan_experiment, require_views
from pipeline.reporter import Bar, Reporter, Silent
from pipeline.train.setup import make_accelerator, make_schedule
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import TOKEN_CODECS
from rsmtdf_core.settings import MOST_COUNT
from rsmtdf_core.teachers.settings import TeacherSettings


def plan_cache(config: ExperimentConfig, reporter: Reporter | None = None) -> PlanReport:
    """Measure for about a minute, then advise; only one temporary file is written.

    Args:
        config: the experiment.
        reporter: shows progress.

    Raises:
        ConfigError: If the config's method needs no features.
        TeacherError: If a teacher cannot be built.
        StoreError: If the cache's disk cannot be written to.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    if not config.teachers or config.teacher_source == "none":
        raise ConfigError(
            f"{config.objective.method} with {len(config.teachers)} teachers reads no features, so no "
            "cache is needed",
            remedy="list teachers under `teachers`, and --set objective.method=rs-mtdf",
        )
    experiment = plan_experiment(config)
    require_views(experiment)
    taught = [phase for phase in config.phases if phase.teacher_source != "none"]
    experiment = replace(experiment, config=taught[-1])
    measured = measure(experiment, make_accelerator(config), reporter)
    return PlanReport(
        config=config.name,
        cache=str(config.runtime.cache_folder),
        seconds=time.perf_counter() - began,
        measurements=measured,
        advice=advise(measured),
    )


def measure(experiment: Experiment, accelerator: Accelerator, reporter: Reporter) -> Measurements:
    """Run every part for a few seconds."""
    config, plan, device = experiment.config, experiment.plan, accelerator.device
    folder = existing_folder(config.runtime.cache_folder)
    free = shutil.disk_usage(folder).free
    cores = os.cpu_count() or 1
    with reporter.bar("measure", 3 + len(config.teachers)) as bar, open_disk(folder, free) as disk:
        bar.advance(note=f"disk: wrote {disk.write_bandwidth / 2**20:.0f} MiB/s")
        views, render = rendered_views(experiment, max(SAMPLE, config.runtime.teacher_batch))
        bar.advance(note=f"views: {1000 * render:.1f} ms each")
        teachers = tuple(
            _teacher(experiment, teacher, views, disk, device, bar) for teacher in config.teachers
        )
        step = step_seconds(experiment, accelerator)
        bar.advance(note=f"step: {1000 * step:.0f} ms")
    schedule = make_schedule(experiment)
    epochs, max_steps = config.optimiser.epochs, config.optimiser.max_steps
    on_gpu = device.type == "cuda"
    gpus = torch.cuda.device_count() if on_gpu else 1
    return Measurements(
        epochs=min(epochs, -(-(max_steps or MOST_COUNT) // schedule.steps_per_epoch)),
        steps_per_epoch=schedule.steps_per_epoch,
        step_views=_step_views(experiment),
        labeled_scenes=len(plan.labeled_scenes),
        unlabeled_scenes=len(plan.unlabeled_scenes),
        labeled_views=config.views.planned_labeled,
        unlabeled_views=config.views.planned_unlabeled,
        device=device.type,
        cores=cores,
        teacher_threads=0 if on_gpu else min(cores, torch.get_num_threads()),
        render_threads=max(1, cores // 2),
        extract_devices=min(gpus, config.runtime.extract_workers or gpus),
        step_seconds=step,
        render_seconds=render,
        write_bandwidth=disk.write_bandwidth,
        cold_reads=disk.cold,
        disk_free=free,
        teachers=teachers,
    )


def _teacher(
    experiment: Experiment,
    settings: TeacherSettings,
    views: torch.Tensor,
    disk: Disk,
    device: torch.device,
    bar: Bar,
) -> TeacherMeasured:
    config = experiment.config
    run = run_teacher(settings, views, config.runtime.teacher_batch, device)
    present = present_views(experiment, settings)
    step_views = _step_views(experiment)
    codecs = []
    for name in TOKEN_CODECS:
        chosen = name == settings.codec.name
        declared = settings.declared_codec if chosen else declare_codec(name)
        timing = run_codec(declared, run.tokens, device)
        exact = timing.codec.record_bytes is not None
        codec_measured = CodecMeasured(
            codec=name,
            label=timing.codec.label,
            bytes=timing.bytes,
            exact=exact,
            meaningful=exact or run.weights == "own",
            encode_seconds=timing.encode_seconds,
            unpack_seconds=timing.unpack_seconds,
            decode_seconds=timing.decode_seconds,
            read_bandwidth=disk.read_bandwidth(round(timing.bytes), step_views),
            present=max((count for codec, count in present if codec == declared), default=0),
        )
        codecs.append(codec_measured)
    bar.advance(note=f"{settings.name}: {1000 * run.seconds:.1f} ms a view")
    return TeacherMeasured(
        teacher=settings.name,
        codec=settings.codec.name,
        weights=run.weights,
        seconds=run.seconds,
        copy_seconds=run.copy_seconds,
        codecs=tuple(codecs),
    )


def _step_views(experiment: Experiment) -> int:
    """Return the number of views with tokens in a step: fresh labeled views have none."""
    schedule = make_schedule(experiment)
    return schedule.size if experiment.config.views.planned_labeled else schedule.batch
