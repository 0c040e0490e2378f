"""The teachers' tokens of an experiment, from the cache or computed in the loop (tests: test_methods.py)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.config import ExperimentConfig
from pipeline.pixel_store import find_pixels
from pipeline.plan import Experiment
from pipeline.token_store import find_tokens
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.usage import store_key
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.report import cautions
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.student.segmenter import Statistics
from rsmtdf_core.teachers.teacher import load_teacher
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.settings import TargetsName, TaughtSettings
from rsmtdf_core.training.standardise import TokenMap, phi_s, token_moments
from rsmtdf_core.training.targets import CachedTargets, OnlineTargets, TargetSource
from rsmtdf_core.views.records import PIXELS

# Views from which the covariance of a teacher's tokens is computed; each has hundreds of tokens.
_SAMPLE = 64


@dataclass(frozen=True)
class Features:
    """The cached features and teachers that a training uses.

    Attributes:
        shapes: token shapes of the teachers, in the config's order; empty if the method uses none.
        targets: source of the tokens.
        crops: crc32 of each plan row's crop as the teachers saw it, uint32 [rows]; None without cached
            tokens.
        lock: the views and stores that determine the targets, as JSON.
        stores: folders of the stores that are read.
        pixels: the store of the views' pixels, if they are cached.
        random_teachers: names of the teachers with random weights.
        approximations: differences between the targets and the reference's, a sentence each.
        statistics: by teacher, mean and standard deviation of each channel over its store, float32 [D]; empty for
            tokens computed online.
    """

    shapes: tuple[TokenShape, ...] = ()
    targets: TargetSource | None = None
    crops: npt.NDArray[np.uint32] | None = None
    lock: dict[str, Any] | None = None
    stores: tuple[Path, ...] = ()
    pixels: FeatureStore | None = None
    random_teachers: tuple[str, ...] = ()
    approximations: tuple[str, ...] = ()
    statistics: Statistics = field(default_factory=dict)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings about the validity of this training's scores."""
        return cautions(self.random_teachers, self.approximations)

    def locked(self) -> dict[str, Any] | None:
        """Return all stores that are read, for the run's cache.lock.json; None if there are none."""
        if self.pixels is None:
            return self.lock
        return {**(self.lock or {}), PIXELS: store_key(self.pixels.path)}


def find_features(experiment: Experiment, device: torch.device) -> Features:
    """Find the features that the config's method needs.

    Raises:
        StoreError: If the cache does not contain all of them.
    """
    features = _targets(experiment, device)
    if not experiment.config.trains_from_cached_pixels:
        return features
    pixels = find_pixels(experiment)
    return replace(features, pixels=pixels, stores=(*features.stores, pixels.path))


def _targets(experiment: Experiment, device: torch.device) -> Features:
    config = experiment.config
    source = config.teacher_source
    if source == "none":
        return Features()
    if not config.teachers:
        raise ConfigError(
            f"{config.objective.method} needs teachers, but the config has none",
            remedy="list some under `teachers`, or --set objective.method=fixmatch",
        )
    if source == "online":
        return _online(config, device)
    return _cached(experiment, device)


def _cached(experiment: Experiment, device: torch.device) -> Features:
    config, plan = experiment.config, experiment.plan
    readers, shapes, statistics, maps, locked, random, stores = {}, {}, {}, {}, {}, [], []
    assert isinstance(config.objective, TaughtSettings)
    targets = config.objective.token_targets
    crops = None
    for teacher in config.distilled:
        store = find_tokens(experiment, teacher)
        rows = store.require(plan)
        crops = store.group.crops(rows)
        readers[teacher.name] = FeatureReader(store, rows, config.runtime.check)
        # The store may have been created under another name; the name in the config counts.
        shapes[teacher.name] = TokenShape(
            teacher.name, *store.shape.record_shape, store.shape.input_size
        )
        mean, std = (
            torch.tensor(store.facts.parameters[name], device=device) for name in ("mean", "std")
        )
        statistics[teacher.name] = mean, std
        if targets != "tokens":
            maps[teacher.name] = _token_map(targets, store, rows)
        locked[teacher.name] = {
            "store": store_key(store.path),
            "identity": store.metadata.identity,
            "codec": store.metadata.codec,
        }
        stores.append(store.path)
        if store.metadata.random_weights:
            random.append(teacher.name)
    spreads = {name: std for name, (_, std) in statistics.items()}
    lock = {"views": plan.address, "plan": plan.fingerprint, "stores": locked}
    return Features(
        shapes=tuple(shapes.values()),
        targets=CachedTargets(
            readers, shapes, plan, device, spreads, maps, threads=config.runtime.read_threads
        ),
        crops=crops,
        lock=lock,
        stores=tuple(stores),
        random_teachers=tuple(random),
        approximations=_approximations(config),
        statistics=statistics,
    )


def _token_map(targets: TargetsName, store: FeatureStore, rows: Rows) -> TokenMap:
    """Return the map from a teacher's tokens to its targets, on the CPU.

    Stores hold the mean of each channel. The covariance is computed from views that are evenly spaced in the plan, so
    the same plan and store give the same sample.
    """
    if targets == "centered":
        return TokenMap(torch.from_numpy(store.facts.parameters["mean"]))
    reader = FeatureReader(store, rows, check="always")
    sample = np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)
    return phi_s(*token_moments(map(reader.tokens, sample.tolist())))


def _online(config: ExperimentConfig, device: torch.device) -> Features:
    if isinstance(config.objective, TaughtSettings):
        config.objective.require_online()
    teachers = {
        settings.name: load_teacher(settings, config.views.crop, str(device))
        for settings in config.distilled
    }
    return Features(
        shapes=tuple(teacher.shape for teacher in teachers.values()),
        targets=OnlineTargets(teachers),
        random_teachers=tuple(
            teacher.name for teacher in config.distilled if teacher.weights == "random"
        ),
    )


def _approximations(config: ExperimentConfig) -> tuple[str, ...]:
    if config.views.teacher_sees == "mixed":
        return ()
    sentence = (
        f"the teachers saw {config.views.teacher_sees} views: tokens of mixed views are composed along "
        "the CutMix box, and the distillation loss skips tokens on the edge of the box (approximate)"
    )
    return (sentence,)
