"""Summarizes a run as a table row: method, data, features, progress and score."""

import time
from pathlib import Path
from typing import Any, Literal

from pipeline.labeled import labeled_value
from pipeline.runs.record import RunRecord
from rsmtdf_core.settings import Settings
from rsmtdf_core.views.settings import ViewCount


class RunFeatures(Settings):
    """The source of a run's distillation targets.

    Attributes:
        source: `cached`, `online`, or `none` for methods without teachers.
        teachers: names of the distilled teachers.
        codecs: codec of each teacher's store; empty for online teachers.
        views: views per unlabeled scene (K), or "fresh"; None without teachers.
        stores: `<group>/<store>` of each teacher; empty before a run has started.
        pixels: `<group>/<store>` of the cached views, if the run reads them.
    """

    source: Literal["cached", "online", "none"]
    teachers: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    views: ViewCount | None = None
    stores: tuple[str, ...] = ()
    pixels: str | None = None


class RunSummary(Settings):
    """The summary of a run.

    Attributes:
        run: path relative to the searched folder.
        path: the run's folder.
        method: name of the training method.
        dataset: name of the manifest.
        labeled: share of the training scenes with masks in use, or their images in words; None for an imported model.
        labeled_seed: seed of the choice of labeled scenes.
        seed: seed of the run.
        steps: number of trained steps.
        total: number of steps of the whole training; None if a run of an earlier version did not record it.
        features: source of the distillation targets.
        best_miou: best mIoU on the validation split, in 0..1; None before the first validation.
        best_steps: number of trained steps at the best mIoU.
        weights: the validated model.
        status: running, killed, interrupted, finished, stopped early or unknown.
        random_teachers: teachers with random weights. If there are any, the scores do not reflect the method.
        written: time of the last update, local time, ISO 8601.
    """

    run: str
    path: Path
    method: str
    dataset: str
    labeled: float | str | None
    labeled_seed: int
    seed: int
    steps: int
    total: int | None
    features: RunFeatures
    best_miou: float | None
    best_steps: int | None
    weights: str
    status: str
    random_teachers: tuple[str, ...]
    written: str


def summarize(record: RunRecord, name: str) -> RunSummary:
    """Summarize a run under the given name."""
    config, best = record.config, record.best
    labeled = config.data.labeled
    share = record.manifest.labeled_share or (
        labeled if isinstance(labeled, float) else labeled_value(config)
    )
    return RunSummary(
        run=name,
        path=record.folder.path,
        method=config.objective.method,
        dataset=record.manifest.name,
        labeled=None if record.folder.imported else share,
        labeled_seed=config.data.labeled_seed,
        seed=config.seed,
        steps=record.steps,
        total=record.total,
        features=_features(record),
        best_miou=None if best is None else best.miou,
        best_steps=None if best is None else best.steps,
        weights=config.evaluation.weights,
        status=record.status,
        random_teachers=record.random_teachers,
        written=time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.written)),
    )


def _features(record: RunRecord) -> RunFeatures:
    config, lock = record.config, record.lock or {}
    pixels = record.pixels
    if not record.distils or record.folder.imported:
        return RunFeatures(source="none", pixels=pixels)
    teachers = tuple(teacher.name for teacher in config.distilled)
    views = config.views.unlabeled_views
    if config.teacher_source == "online":
        return RunFeatures(source="online", teachers=teachers, views=views, pixels=pixels)
    locked = lock.get("stores")
    codecs = [
        locked[teacher.name]["codec"] if locked else teacher.declared_codec
        for teacher in config.distilled
    ]
    return RunFeatures(
        source="cached",
        teachers=teachers,
        codecs=tuple(map(codec_label, codecs)),
        views=views,
        stores=tuple(locked[name]["store"] for name in teachers) if locked else (),
        pixels=pixels,
    )


def codec_label(codec: dict[str, Any]) -> str:
    """Format a declared codec as in the names of stores: fp16, transform-0.99."""
    keys = (str(value) for key, value in codec.items() if key not in {"name", "format"})
    return "-".join([str(codec.get("name", "unknown")), *keys])
