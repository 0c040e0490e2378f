"""A teacher's tokens: find their store in the cache, or compute them (tests: extract/test_run.py)."""

import torch

from pipeline.plan import Experiment
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.codecs import Tokens
from rsmtdf_core.errors import TeacherError
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import Teacher, declared_identity


def find_tokens(experiment: Experiment, teacher: TeacherSettings) -> FeatureStore:
    """Find the store with a teacher's tokens of all views of an experiment, without loading the teacher.

    Raises:
        StoreError: If the cache does not contain all of them.
    """
    config = experiment.config
    identity = declared_identity(teacher, config.views.crop)
    cache = config.runtime.cache_folder
    return find_store(cache, experiment.plan, identity, teacher.declared_codec)


def view_tokens(teacher: Teacher, images: Pixels) -> Tokens:
    """Compute a teacher's tokens, float32 [n, H, W, D], of images, uint8 [n, S, S, 3].

    Raises:
        TeacherError: If a token contains NaN or infinity.
    """
    tokens = teacher.tokens(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())
    settings = teacher.settings
    if not torch.isfinite(tokens).all():
        raise TeacherError(
            f"teacher {settings.name} computes tokens that are NaN or infinite",
            where=settings.weights if settings.weights != "hub" else settings.model,
            remedy="compare its weights file with the published checksum, and download it again",
        )
    return tokens.cpu().numpy()
