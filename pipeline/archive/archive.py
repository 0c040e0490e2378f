"""Open the cached tokens of a config or of a store as an archive of views (tests: test_search.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, plan_experiment
from pipeline.token_store import find_tokens
from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.validation import suggestion, validate
from rsmtdf_core.views.known import SceneKey, Table
from rsmtdf_core.views.settings import ViewSettings


@dataclass(frozen=True)
class Archive:
    """Cached views of one teacher.

    Attributes:
        reader: reads the tokens by row of `table`.
        table: the views, VIEW_DTYPE [views].
        scenes: the scenes, by their number in `table`.
        settings: the settings of the views.
        random_weights: whether the teacher has random weights.
        experiment: the config's scenes and views; None if only a store was given.
        teacher: settings of the teacher; None if only a store was given.
    """

    reader: FeatureReader
    table: Table
    scenes: tuple[SceneKey, ...]
    settings: ViewSettings
    random_weights: bool
    experiment: Experiment | None = None
    teacher: TeacherSettings | None = None

    @property
    def scene_of(self) -> Rows:
        """The scene of each view, int64 [views]."""
        return self.table["scene"].astype(np.int64)

    @cached_property
    def found(self) -> dict[str, Scene]:
        """The scenes on this machine by id; empty if only a store was given."""
        return {} if self.experiment is None else {s.id: s for s in self.experiment.plan.scenes}


def open_config(experiment: Experiment, teacher: TeacherSettings) -> Archive:
    """Open a teacher's tokens of all training scenes of a config.

    Raises:
        StoreError: If the cache does not contain all of them.
    """
    plan, store = experiment.plan, find_tokens(experiment, teacher)
    return Archive(
        FeatureReader(store, store.require(plan), experiment.config.runtime.check),
        plan.table,
        tuple(map(SceneKey.of, plan.scenes)),
        plan.settings,
        store.metadata.random_weights,
        experiment,
        teacher,
    )


def open_store(path: Path) -> Archive:
    """Open all views in a store, without the scenes' pixels.

    Raises:
        StoreError: If the folder has no store, or a store of pixels.
    """
    group = ViewGroup.at(path.resolve().parent)
    store = FeatureStore.open(path, group)
    store.require_tokens()
    rows = store.require_all()
    settings = validate(ViewSettings, group.drawing["settings"], str(group.path))
    random = store.metadata.random_weights
    return Archive(FeatureReader(store, rows), group.table[rows], group.scenes, settings, random)


def open_source(
    source: ExperimentConfig | Path, teacher: str | None
) -> tuple[Archive, tuple[str, ...]]:
    """Open a config's archive of one teacher, or a store; return warnings about the config's scenes too.

    Args:
        source: a config, or the folder of a store.
        teacher: name of a teacher of the config; None uses the first that the method distills, or the first.

    Raises:
        ConfigError: If there is no such teacher.
        StoreError: If the tokens are not in the cache.
    """
    if isinstance(source, Path):
        if teacher is not None:
            raise ConfigError(
                "a store has a single teacher", where="--teacher", remedy="omit --teacher"
            )
        return open_store(source), ()
    chosen = select_teachers(source, None if teacher is None else [teacher])[0]
    experiment = plan_experiment(source)
    return open_config(experiment, chosen), experiment.cautions


def select_teachers(
    config: ExperimentConfig, names: Sequence[str] | None
) -> tuple[TeacherSettings, ...]:
    """Return teachers of a config by name; None selects those that the method distills, or all.

    Raises:
        ConfigError: If the config has no teachers, or none of a name.
    """
    by_name = {teacher.name: teacher for teacher in config.teachers}
    if not by_name:
        raise ConfigError(
            "the config has no teachers, so there are no tokens to read",
            where="teachers",
            remedy="list some under `teachers`, then rsmtdf extract-features CONFIG",
        )
    if names is None:
        return config.distilled or config.teachers
    for name in names:
        if name not in by_name:
            raise ConfigError(
                f"no teacher is named {name}{suggestion(name, by_name)}",
                where="--teacher",
                remedy=f"use one of {', '.join(by_name)}",
            )
    return tuple(by_name[name] for name in names)
