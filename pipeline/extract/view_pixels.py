"""Rendered views as a producer, whose records are their pixels (tests: test_pixel_store.py)."""

from dataclasses import dataclass

import numpy as np

from pipeline.extract.producer import OnWorker, Recorder, Sight, shard_bytes
from pipeline.pixel_store import (
    find_pixels,
    pixels_codec,
    pixels_identity,
    pixels_shape,
    record_masks,
    rows_of_changed_masks,
)
from pipeline.plan import Experiment
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.errors import StoreError
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.views.records import PIXELS, pixel_record


@dataclass(frozen=True)
class ViewPixels:
    """Pixels of the rendered views, with their masks."""

    @property
    def name(self) -> str:
        """The name of pixel stores, used in place of a teacher's name."""
        return PIXELS

    @property
    def sight(self) -> Sight:
        """Renders all bands of a view, with its mask or its strong view."""
        return pixel_record

    def require(self, crop: int, *, remote: bool) -> None:
        """Accept all views, because workers load no model."""

    def find(self, experiment: Experiment) -> FeatureStore | None:
        """Return the store if it is complete and matches the current masks."""
        try:
            return find_pixels(experiment)
        except StoreError:
            return None

    def open(self, experiment: Experiment, group: ViewGroup, on_worker: OnWorker) -> FeatureStore:
        """Create or open the store; its codec needs no fit."""
        del on_worker
        shape = pixels_shape(experiment)
        return create_store(
            group,
            pixels_identity(experiment),
            shape,
            pixels_codec(),
            lambda: np.empty((0, *shape.record_shape), np.uint8),
            shard_bytes=shard_bytes(experiment),
        )

    def outdated(self, experiment: Experiment, store: FeatureStore, rows: Rows) -> Rows:
        """Return the views of scenes whose mask has changed."""
        return rows_of_changed_masks(experiment, store, rows)

    def recorder(self, crop: int, device: str) -> Recorder:
        """Return the identity, because a rendered input is already the record."""
        del crop, device
        return lambda records: records

    def finish(self, experiment: Experiment, store: FeatureStore) -> None:
        """Write the digests of the masks in the pixels."""
        record_masks(experiment, store)
