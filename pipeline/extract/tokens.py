"""Teachers as producers, whose records are their tokens (tests: test_run.py)."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from pipeline.extract.producer import OnWorker, Recorder, Sight, shard_bytes
from pipeline.plan import Experiment
from pipeline.token_store import find_tokens, view_tokens
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.codecs import Tokens
from rsmtdf_core.errors import StoreError, StoreMismatchError
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import (
    PROBE_TOLERANCE,
    Teacher,
    declared_shape,
    load_teacher,
    probe_difference,
)
from rsmtdf_core.teachers.weights import have_weights
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.plan import ViewPlan
from rsmtdf_core.views.render import ViewRenderer
from rsmtdf_core.weights.states import require_state

# A worker may have several threads, but its device has memory for only one copy of the teachers and one batch.
device_turn = threading.Lock()


@dataclass(frozen=True)
class TeacherTokens:
    """A teacher's tokens.

    Attributes:
        settings: the teacher.
    """

    settings: TeacherSettings

    @property
    def name(self) -> str:
        """Name of the teacher."""
        return self.settings.name

    @property
    def sight(self) -> Sight:
        """Renders all bands of a view; the teacher selects its own."""
        return ViewRenderer.taught_view

    def require(self, crop: int, *, remote: bool) -> None:
        """Check the size of the views and the weights, except on remote workers, which have a separate hub cache."""
        declared_shape(self.settings, crop)
        if not remote and self.settings.weights != "random":
            require_state(have_weights(self.settings))

    def find(self, experiment: Experiment) -> FeatureStore | None:
        """Return the store if it is complete, without loading the teacher."""
        try:
            return find_tokens(experiment, self.settings)
        except StoreMismatchError:
            raise
        except StoreError:
            return None

    def open(self, experiment: Experiment, group: ViewGroup, on_worker: OnWorker) -> FeatureStore:
        """Create the store, with a codec fitted to a sample of the views, or open it.

        Raises:
            StoreMismatchError: If the teacher's output differs from that at the creation of the store.
        """
        config, plan, settings = experiment.config, experiment.plan, self.settings
        facts: TeacherFacts = on_worker(teacher_facts, settings, config.views.crop)
        chosen = np.linspace(0, len(plan) - 1, sample_views(len(plan))).astype(int).tolist()
        batch = config.runtime.teacher_batch
        store = create_store(
            group,
            facts.identity,
            facts.shape,
            settings.declared_codec,
            lambda: np.asarray(
                on_worker(sample_tokens, experiment.dataset, plan, settings, chosen, batch)
            ),
            probe=facts.probe,
            random_weights=settings.weights == "random",
            shard_bytes=shard_bytes(experiment),
        )
        drift = probe_difference(store.metadata.probe, facts.probe)
        if drift > PROBE_TOLERANCE:
            raise StoreMismatchError(
                f"the output of teacher {settings.name} has changed since its store was created: on the probe image "
                f"it differs by {drift:.2%}, more than {PROBE_TOLERANCE:.2%}",
                where=store.path,
                remedy="use the same library versions as then, or another runtime.cache",
            )
        return store

    def outdated(self, experiment: Experiment, store: FeatureStore, rows: Rows) -> Rows:
        """Return no rows, because tokens only depend on the view and the teacher."""
        del experiment, store
        return rows[:0]

    def recorder(self, crop: int, device: str) -> Recorder:
        """Load the teacher, once per process."""
        teacher = _teacher(self.settings, crop, device)
        return lambda images: view_tokens(teacher, images)

    def finish(self, experiment: Experiment, store: FeatureStore) -> None:
        """Do not write anything, because the metadata of the store is complete."""


@dataclass(frozen=True)
class TeacherFacts:
    """The facts about a teacher that the coordinator needs to create its store.

    Attributes:
        identity: declared identity, with the digest of the weights.
        shape: shape of the tokens.
        probe: output on the fixed probe image.
    """

    identity: dict[str, Any]
    shape: TokenShape
    probe: list[float]


def sample_views(views: int) -> int:
    """Return the number of views that a new store's codec is fitted to, a small part of all views."""
    return min(views, max(4, min(32, views // 16)))


@lru_cache(maxsize=8)
def _teacher(settings: TeacherSettings, crop: int, device: str) -> Teacher:
    """Load a teacher once per process, for all of its blocks."""
    return load_teacher(settings, crop, device)


def forget_teachers() -> None:
    """Release the teachers that this process loaded."""
    _teacher.cache_clear()
    torch.cuda.empty_cache()


def teacher_facts(settings: TeacherSettings, crop: int, device: str) -> TeacherFacts:
    """Load a teacher and return its facts; runs on a worker."""
    with device_turn:
        teacher = _teacher(settings, crop, device)
        return TeacherFacts(teacher.identity(), teacher.shape, teacher.probe())


def sample_tokens(
    dataset: Dataset,
    plan: ViewPlan,
    settings: TeacherSettings,
    rows: Sequence[int],
    batch: int,
    device: str,
) -> Tokens:
    """Compute tokens of a few views, float32 [n, H, W, D], to fit a codec; runs on a worker."""
    renderer = ViewRenderer(SceneReader(dataset), plan)
    with device_turn:
        teacher = _teacher(settings, plan.settings.crop, device)
        parts = [
            view_tokens(
                teacher,
                np.stack([renderer.taught_view(row) for row in rows[start : start + batch]]),
            )
            for start in range(0, len(rows), batch)
        ]
    return np.concatenate(parts)
