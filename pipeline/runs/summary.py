"""A run in one row: what was trained on what, from which features, how far, and how well."""

import time
from pathlib import Path
from typing import Any, Literal

from pipeline.runs.record import RunRecord
from rsmtdf_core.settings import Settings


class RunFeatures(Settings):
    """Where a run's distillation targets came from.

    Attributes:
        source: none for methods without teachers.
        teachers: names of the teachers that it distils from.
        codecs: the codec of each teacher's store; none for online teachers.
        views: views per unlabeled scene (K); None without teachers.
        stores: `<group>/<store>` of each teacher; none before a run has begun.
        pixels: `<group>/<store>` of the cached views, where it reads these.
    """

    source: Literal["cached", "online", "none"]
    teachers: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    views: int | None = None
    stores: tuple[str, ...] = ()
    pixels: str | None = None


class RunSummary(Settings):
    """One run.

    Attributes:
        run: its path below the folder that was looked through.
        path: its folder.
        method: what it minimised.
        dataset: name of its manifest.
        labeled: share of the training scenes whose masks it used.
        labeled_seed: drew those scenes.
        seed: of the run.
        steps: steps trained.
        total: steps of the whole training; None where an older run did not write them down.
        features: what it distilled from.
        best_miou: on the validation split, in 0..1; None before the first validation.
        best_steps: steps trained when it was reached.
        weights: which model was validated.
        status: running (which a killed run stays), interrupted, finished, stopped early or unknown.
        random_teachers: teachers with random weights; with any, its scores say nothing about the method.
        written: when it last told of itself, local time, ISO 8601.
    """

    run: str
    path: Path
    method: str
    dataset: str
    labeled: float
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


def summarise(record: RunRecord, name: str) -> RunSummary:
    """The row of a run that is called `name`."""
    config, best = record.config, record.best
    return RunSummary(
        run=name,
        path=record.folder.path,
        method=config.objective.method,
        dataset=record.manifest.name,
        labeled=record.manifest.labeled_share or config.data.labeled,
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
    if not record.distils:
        return RunFeatures(source="none", pixels=pixels)
    teachers = tuple(one.name for one in config.distilled)
    views = config.views.unlabeled_views
    if config.teacher_source == "online":
        return RunFeatures(source="online", teachers=teachers, views=views, pixels=pixels)
    locked = lock.get("stores")
    codecs = [
        locked[one.name]["codec"] if locked else one.declared_codec for one in config.distilled
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
    """A declared codec as names of stores have it: fp16, transform-0.99."""
    keys = (str(value) for key, value in codec.items() if key not in {"name", "format"})
    return "-".join([str(codec.get("name", "unknown")), *keys])
