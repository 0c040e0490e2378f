"""The producers of a config (tests: test_run.py)."""

from pipeline.config import ExperimentConfig
from pipeline.extract.producer import Producer
from pipeline.extract.tokens import TeacherTokens
from pipeline.extract.view_pixels import ViewPixels


def producers_of(config: ExperimentConfig) -> tuple[Producer, ...]:
    """Return the producers of a config, in the order of reports."""
    teachers = tuple(TeacherTokens(teacher) for teacher in config.teachers)
    return (*teachers, ViewPixels()) if config.trains_from_cached_pixels else teachers
