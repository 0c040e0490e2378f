"""Count the views of an experiment that the cache already holds, without loading a teacher."""

from collections.abc import Iterator

from pipeline.plan import Experiment
from rsmtdf_core.cache.group import find_group
from rsmtdf_core.codecs import Declared
from rsmtdf_core.errors import StoreError
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.metadata import ZARR
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import declared_identity

_WEIGHTS = "weights_sha256"


def present_views(experiment: Experiment, teacher: TeacherSettings) -> list[tuple[Declared, int]]:
    """Return for each codec how many views of the plan the cache holds from this teacher.

    If the weights are not on this machine, a store counts if it agrees in everything else.
    """
    config, plan = experiment.config, experiment.plan
    group = find_group(config.runtime.cache_folder, plan.drawing, plan.scenes)
    if group is None:
        return []
    rows = group.known_rows(plan)
    rows = rows[rows >= 0]
    # Views without a crop's checksum are extracted again.
    rows = rows[group.crops(rows) != 0]
    declared = declared_identity(teacher, config.views.crop)
    counts = []
    for store in _stores(group):
        identity = dict(store.metadata.identity)
        if declared[_WEIGHTS] is None:
            identity[_WEIGHTS] = None
        if identity == declared:
            count = len(rows) - len(store.missing_rows(rows))
            counts.append((store.metadata.codec, count))
    return counts


def _stores(group: ViewGroup) -> Iterator[FeatureStore]:
    """Yield the readable stores of the group."""
    for path in sorted(group.path.glob(f"*/{ZARR}")):
        try:
            yield FeatureStore.open(path.parent, group)
        except StoreError:
            continue
