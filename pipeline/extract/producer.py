"""The interface of what fills the stores of an extraction.

Every producer has one store. An extraction asks it for that store, has it make the records that are missing, and never
asks what kind of producer it is.
"""

from collections.abc import Callable
from typing import Any, Protocol

from pipeline.plan import Experiment
from rsmtdf_core.arrays import Pixels, Rows
from rsmtdf_core.store.codecs import Tokens
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.render import ViewRenderer

_MEBIBYTE = 2**20

Sight = Callable[[ViewRenderer, int], Pixels]
"""Renders what a producer sees of a plan's row, uint8 [S, S, channels]."""

Recorder = Callable[[Pixels], Tokens]
"""Makes the records [n, ...] of n views from what is seen of them, uint8 [n, S, S, channels]."""

OnWorker = Callable[..., Any]
"""Runs a function on a worker with the arguments given and the worker's device; returns its result."""


class Producer(Protocol):
    """Fills one store with a record for each view."""

    @property
    def name(self) -> str:
        """The store's name in reports; a teacher's name in the config."""
        ...

    @property
    def sight(self) -> Sight:
        """What it sees; a view is rendered once for all producers with the same sight."""
        ...

    def require(self, crop: int, *, remote: bool) -> None:
        """Refuse, before any worker starts, what cannot be loaded there or takes no views of `crop` px.

        Raises:
            TeacherError: it cannot.
        """
        ...

    def find(self, experiment: Experiment) -> FeatureStore | None:
        """The store, committed and whole for the plan; None if records have to be made.

        Raises:
            StoreMismatchError: there is a store of other records under this address.
        """
        ...

    def open(self, experiment: Experiment, group: ViewGroup, on_worker: OnWorker) -> FeatureStore:
        """Make or open the store."""
        ...

    def outdated(self, experiment: Experiment, store: FeatureStore, rows: Rows) -> Rows:
        """Those of the store's rows whose records are there but show something else by now."""
        ...

    def recorder(self, crop: int, device: str) -> Recorder:
        """Runs on a worker: load what makes records there."""
        ...

    def finish(self, experiment: Experiment, store: FeatureStore) -> None:
        """Write, before the commit, what the records were made from."""
        ...


def shard_bytes(experiment: Experiment) -> int:
    """Upper bound of a new store's shards."""
    return experiment.config.runtime.shard_mebibytes * _MEBIBYTE
