"""Find the store of a teacher's tokens in the cache (tests: extract/test_run.py)."""

from pipeline.plan import Experiment
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import declared_identity


def find_tokens(experiment: Experiment, teacher: TeacherSettings) -> FeatureStore:
    """Find the store with a teacher's tokens of all views of an experiment, without loading the teacher.

    Raises:
        StoreError: If the cache does not contain all of them.
    """
    config = experiment.config
    identity = declared_identity(teacher, config.views.crop)
    cache = config.runtime.cache_folder
    return find_store(cache, experiment.plan, identity, teacher.declared_codec)
