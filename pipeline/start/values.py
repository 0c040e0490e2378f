"""The inputs and results of the choice of settings: frozen values (tests: test_choosing.py)."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from rsmtdf_core.settings import Settings

Method = Literal["supervised", "fixmatch", "rs-mtdf"]
Kind = Literal["vit", "cnn"]
Precision = Literal["fp32", "bf16"]


class Data(Settings):
    """The scenes of a dataset, as far as settings depend on them.

    Attributes:
        side: median of the shorter sides of the training scenes, px.
        labeled: number of training scenes with a mask.
        unlabeled: number of training scenes without a mask.
        val: number of validation scenes with a mask.
        val_megapixels: their pixels, in millions.
        test: number of test scenes with a mask.
    """

    side: int = Field(ge=1)
    labeled: int = Field(ge=1)
    unlabeled: int = Field(ge=0)
    val: int = Field(ge=0)
    val_megapixels: float = Field(ge=0)
    test: int = Field(ge=0)


class Machine(Settings):
    """The machine, as far as settings depend on it.

    Attributes:
        device: type of the training device.
        name: name of the device, for people.
        cores: processor cores of this process.
        memory: bytes of memory of the training device that are free.
        bf16: whether the device computes in bf16.
        disk: free bytes on the disk of the cache.
    """

    device: Literal["cpu", "cuda"]
    name: str
    cores: int = Field(ge=1)
    memory: int = Field(ge=0)
    bf16: bool
    disk: int = Field(ge=0)


@dataclass(frozen=True)
class StudentKind:
    """A student to choose from.

    Attributes:
        encoder: the timm model; in the config also the name of its weights on the hub.
        files: words, one of which the name of a local weights file contains.
        kind: transformer or CNN.
        unit: divisor of the crop, px.
        parameters: parameters with the head, in millions.
        step_bytes: memory of a training step by crop pixel, in fp32.
        lr: initial learning rate of the encoder.
        multiplier: factor on lr for all other parameters.
        translator_hidden: width of the translators.
    """

    encoder: str
    files: tuple[str, ...]
    kind: Kind
    unit: int
    parameters: float
    step_bytes: float
    lr: float
    multiplier: float
    translator_hidden: int


@dataclass(frozen=True)
class TeacherKind:
    """A teacher to choose from.

    Attributes:
        name: its name in the config.
        model: the timm model.
        files: words, one of which the name of a local weights file contains.
        patch: divisor of its input, px.
        channels: channels of a token.
    """

    name: str
    model: str
    files: tuple[str, ...]
    patch: int
    channels: int


@dataclass(frozen=True)
class Draft:
    """Settings that data, machine and weights decide, before any step was timed.

    Attributes:
        student: the student.
        student_weights: `student.weights` of the config.
        crop: side of the views, px.
        batch: labeled crops of a step.
        method: the training method.
        teacher: the teacher; None without one.
        teacher_weights: `teachers.<name>.weights` of the config.
        teacher_input: side of the teacher's input, px.
        precision: precision of a step.
        reasons: the reason of each choice, by a key of the config.
    """

    student: StudentKind
    student_weights: str
    crop: int
    batch: int
    method: Method
    teacher: TeacherKind | None
    teacher_weights: str
    teacher_input: int
    precision: Precision
    reasons: dict[str, str]

    @property
    def step_crops(self) -> int:
        """Crops of a step that the student learns from."""
        return self.batch if self.method == "supervised" else 2 * self.batch


@dataclass(frozen=True)
class Schedule:
    """A training that fits a time.

    Attributes:
        epochs: number of epochs.
        steps: number of steps.
        every: epochs between validations.
        views: cached views of each scene; 0 without a teacher.
        extraction_seconds: time of the extraction.
        training_seconds: time of the training with its validations.
        limited: whether time limits the steps.
    """

    epochs: int
    steps: int
    every: int
    views: int
    extraction_seconds: float
    training_seconds: float
    limited: bool


class Timing(Settings):
    """Times that were measured for a draft.

    Attributes:
        step: a training step with rendering, seconds.
        teacher: a view of the teacher with rendering, seconds; 0 without a teacher.
    """

    step: float = Field(gt=0)
    teacher: float = Field(default=0, ge=0)


class Choice(Settings):
    """A key of the config with its value and the reason.

    Attributes:
        key: the dotted key.
        value: the value, of a type of YAML.
        reason: the reason; empty for a value that follows from another choice.
    """

    key: str
    value: Any
    reason: str = ""


class Proposal(Settings):
    """The proposed settings.

    Attributes:
        choices: each key with its value and the reason, in the order of the config.
        method: the training method.
        steps: steps of the training.
        extraction_seconds: estimated time of the extraction; 0 without a teacher.
        training_seconds: estimated time of the training with its validations.
        memory: estimated memory of a step, bytes.
        cautions: sentences about choices that the results will suffer from.
    """

    choices: tuple[Choice, ...]
    method: Method
    steps: int
    extraction_seconds: float
    training_seconds: float
    memory: int
    cautions: tuple[str, ...] = ()

    def value(self, key: str) -> Any:  # noqa: ANN401 - of a type of YAML
        """Return the value of a key."""
        return next(choice.value for choice in self.choices if choice.key == key)
