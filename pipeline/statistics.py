"""Mean and standard deviation of the images of teachers and student, where a config leaves them to the model."""

from collections.abc import Iterator
from contextlib import suppress

from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import ConfigError, TeacherError
from rsmtdf_core.student.pretrained import input_statistics as student_statistics
from rsmtdf_core.student.pretrained import model_statistics as encoder_statistics
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.teachers.family import Statistics, input_statistics, model_statistics
from rsmtdf_core.teachers.settings import TeacherSettings


def with_statistics(config: ExperimentConfig) -> ExperimentConfig:
    """Return the config with the numbers of each mean and standard deviation.

    A run records them, so that it keeps its meaning with every version of the libraries. Teachers with an unknown
    model are left unchanged; their use is an error of its own.

    Raises:
        ConfigError: If timm has no such student.
    """
    mean, std = student_statistics(config.student)
    return config.model_copy(
        update={
            "teachers": tuple(map(_teacher, config.teachers)),
            "student": config.student.model_copy(update={"mean": mean, "std": std}),
        }
    )


def _teacher(teacher: TeacherSettings) -> TeacherSettings:
    with suppress(TeacherError):
        mean, std = input_statistics(teacher)
        return teacher.model_copy(update={"mean": mean, "std": std})
    return teacher


def uncommon_statistics(config: ExperimentConfig) -> Iterator[str]:
    """Describe the means and standard deviations of a config that differ from those of pretrained models."""
    for teacher in config.teachers:
        with suppress(TeacherError):
            sentence = _difference(teacher, model_statistics(teacher))
            if sentence:
                yield f"teacher {teacher.name}: {sentence}"
    with suppress(ConfigError):
        sentence = _difference(config.student, encoder_statistics(config.student))
        if sentence:
            yield f"student: {sentence}"


def _difference(settings: TeacherSettings | StudentSettings, trained: Statistics) -> str | None:
    keys = ("mean", "std")
    given = [getattr(settings, key) for key in keys]
    if settings.weights == "random" or all(
        numbers in (None, own) for numbers, own in zip(given, trained, strict=True)
    ):
        return None
    if any(numbers is not None and len(numbers) != len(trained[0]) for numbers in given):
        return None  # of other bands than the model's own
    stated = " and ".join(f"{key} {_shown(own)}" for key, own in zip(keys, trained, strict=True))
    return f"its model was trained with {stated}, which the config overrides; leave both keys out to use these"


def _shown(numbers: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{number:.3g}' for number in numbers)}]"
