"""The interface of producers, which compute the records of stores (tests: test_run.py).

Every producer has one store. An extraction gets that store from its producer and lets it compute the missing records,
independent of the kind of producer.
"""

from collections.abc import Callable
from typing import Any, Protocol

from pipeline.plan import Experiment
from rsmtdf_core.arrays import Pixels, Rows
from rsmtdf_core.codecs import Tokens
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.render import ViewRenderer

_MEBIBYTE = 2**20

Sight = Callable[[ViewRenderer, int], Pixels]
"""Renders a producer's input for a plan row, uint8 [S, S, channels]."""

Recorder = Callable[[Pixels], Tokens]
"""Computes the records [n, ...] of n views from the producer's inputs, uint8 [n, S, S, channels]."""

OnWorker = Callable[..., Any]
"""Runs a function on a worker with the given arguments and the worker's device; returns its result."""


class Producer(Protocol):
    """Fills a store with a record for each view."""

    @property
    def name(self) -> str:
        """Name of the store in reports; for a teacher, its name in the config."""
        ...

    @property
    def sight(self) -> Sight:
        """Renders the inputs; a view is rendered once for all producers with the same sight."""
        ...

    def require(self, crop: int, *, remote: bool) -> None:
        """Check, before any worker starts, that workers can load the producer for views of `crop` px.

        Raises:
            TeacherError: If they cannot.
        """
        ...

    def find(self, experiment: Experiment) -> FeatureStore | None:
        """Return the store if it is committed and complete for the plan, else None.

        Raises:
            StoreMismatchError: If the store at this address has different records.
        """
        ...

    def open(self, experiment: Experiment, group: ViewGroup, on_worker: OnWorker) -> FeatureStore:
        """Create or open the store."""
        ...

    def outdated(self, experiment: Experiment, store: FeatureStore, rows: Rows) -> Rows:
        """Return the rows whose records exist but no longer match the scenes."""
        ...

    def recorder(self, crop: int, device: str) -> Recorder:
        """Load the function that computes records; runs on a worker."""
        ...

    def finish(self, experiment: Experiment, store: FeatureStore) -> None:
        """Write the sources of the records if they are missing; called before a commit, and for a complete store."""
        ...


def shard_bytes(experiment: Experiment) -> int:
    """Return the maximum size of a new store's shards, in bytes."""
    return experiment.config.runtime.shard_mebibytes * _MEBIBYTE
