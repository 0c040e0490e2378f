"""The planner's measurements, estimates and advice: frozen values that serialize to JSON."""

from typing import Annotated, Literal

from pydantic import Field

from rsmtdf_core.settings import Settings

Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Bound = Literal["teachers", "rendering", "packing", "writing", "nothing"]
Limit = Literal["epochs", "disk", "time"]


class CodecMeasured(Settings):
    """The cost of one teacher's view in one codec.

    Attributes:
        codec: the codec's name.
        label: the codec with its settings, as in a store's folder name.
        bytes: mean size of a record.
        exact: whether all records have this size; otherwise it is the mean of a sample.
        meaningful: whether the size is that of the configured teacher; False if records are
            compressed and the sample was made with random weights.
        encode_seconds: packing one view, on one core.
        unpack_seconds: from stored bytes to stored numbers, on one core of the loader.
        decode_seconds: from stored numbers to tokens on the training device.
        read_bandwidth: of random records of this size, bytes per second.
        present: number of the plan's views that the cache holds in this codec.
    """

    codec: str
    label: str
    bytes: Rate
    exact: bool
    meaningful: bool
    encode_seconds: Seconds
    unpack_seconds: Seconds
    decode_seconds: Seconds
    read_bandwidth: Rate
    present: Count


class TeacherMeasured(Settings):
    """The measurements of one teacher.

    Attributes:
        teacher: its name in the config.
        codec: its codec in the config.
        weights: "own", "random" if so configured, or "absent": not on this machine, so random
            weights were measured instead.
        seconds: forward pass of one view.
        copy_seconds: copying one view's tokens to the host.
        codecs: the candidates, the most faithful first.
    """

    teacher: str
    codec: str
    weights: Literal["own", "random", "absent"]
    seconds: Rate
    copy_seconds: Seconds
    codecs: tuple[CodecMeasured, ...]

    def measured(self, codec: str) -> CodecMeasured:
        """Return the candidate with this codec name."""
        return next(candidate for candidate in self.codecs if candidate.codec == codec)


class Measurements(Settings):
    """All inputs of the advice.

    Attributes:
        epochs: epochs of one training.
        steps_per_epoch: steps per epoch.
        step_views: views that the student, and so each teacher, sees per step.
        labeled_scenes: number of scenes whose masks are used.
        unlabeled_scenes: number of scenes whose masks are not used.
        labeled_views: views per labeled scene; 0 if they are fresh.
        unlabeled_views: views per unlabeled scene (K) in the config.
        device: type of the training device.
        cores: processor cores of this process.
        teacher_threads: cores that a teacher's forward pass occupies; 0 on a GPU.
        render_threads: threads that render while teachers run.
        extract_devices: devices that share the teachers' work on this machine.
        step_seconds: a training step with rendering, without teachers or store.
        render_seconds: rendering one view for the teachers, on one core.
        write_bandwidth: sustained and synced, bytes per second.
        cold_reads: whether reads bypassed the page cache, so that they measure the disk.
        disk_free: free bytes on the disk.
        teachers: the measured teachers, at least one.
    """

    epochs: Some
    steps_per_epoch: Some
    step_views: Some
    labeled_scenes: Count
    unlabeled_scenes: Count
    labeled_views: Count
    unlabeled_views: Some
    device: str
    cores: Some
    teacher_threads: Count
    render_threads: Some
    extract_devices: Some
    step_seconds: Rate
    render_seconds: Seconds
    write_bandwidth: Rate
    cold_reads: bool
    disk_free: Count
    teachers: Annotated[tuple[TeacherMeasured, ...], Field(min_length=1)]

    def views(self, unlabeled_views: int) -> int:
        """Return the number of views of a plan with this K."""
        labeled = self.labeled_scenes * self.labeled_views
        return labeled + self.unlabeled_scenes * unlabeled_views

    @property
    def teacher_step_seconds(self) -> float:
        """Seconds of all teachers per step."""
        return self.step_views * sum(teacher.seconds for teacher in self.teachers)


class StoreEstimate(Settings):
    """One teacher's store in one codec, for the config's K.

    Attributes:
        teacher: the teacher's name.
        label: the codec's label.
        bytes_a_view: size of a record.
        exact: whether this size is certain.
        meaningful: whether this size is that of the configured teacher.
        views: number of views in the plan.
        present: number of them in the cache in this codec.
        bytes: size of all records.
        missing_bytes: size of the records that the cache lacks.
        read_seconds: reading and unpacking the records of one step.
    """

    teacher: str
    label: str
    bytes_a_view: float
    exact: bool
    meaningful: bool
    views: int
    present: int
    bytes: float
    missing_bytes: float
    read_seconds: float


class Estimate(Settings):
    """The estimate of one choice of codecs, for the config's K.

    Attributes:
        choice: the codec of all teachers, or "as configured" if the config mixes codecs.
        stores: one per teacher, in the config's order.
        bytes: size of all records.
        missing_bytes: size of the records that the cache lacks.
        fits: whether the disk has room for the missing records, with a margin.
        extraction_seconds: extracting the missing records.
        bound: the slowest part of the extraction.
        read_seconds: reading and unpacking the records of one step.
        hidden: whether reading is hidden behind the student's work.
        step_seconds: a training step from the cache.
        training_seconds: one training from the cache, without its validations.
        online_step_seconds: a step that runs the teachers instead.
        speed_up: `online_step_seconds / step_seconds`.
        epochs_to_pay: epochs whose saving equals the extraction; None if caching saves no time.
        experiments_to_pay: the same in whole trainings.
        meaningful: whether all sizes are those of the configured teachers.
        largest_views: the largest K worth caching in one training; 0 for none.
        limit: the limit of a larger K.
    """

    choice: str
    stores: tuple[StoreEstimate, ...]
    bytes: float
    missing_bytes: float
    fits: bool
    extraction_seconds: float
    bound: Bound
    read_seconds: float
    hidden: bool
    step_seconds: float
    training_seconds: float
    online_step_seconds: float
    speed_up: float
    epochs_to_pay: float | None
    experiments_to_pay: int | None
    meaningful: bool
    largest_views: int
    limit: Limit


class Advice(Settings):
    """The recommendation.

    Attributes:
        cache: whether to cache at all.
        choice: the recommended `Estimate.choice`; None for no cache.
        codecs: the codec to set for each teacher; empty for no cache.
        unlabeled_views: the recommended K; None for no cache.
        reasons: the reasons, a sentence each.
        caveats: how the numbers were estimated, a sentence each.
        estimates: all choices that were considered, the most faithful first.
    """

    cache: bool
    choice: str | None
    codecs: dict[str, str]
    unlabeled_views: int | None
    reasons: tuple[str, ...]
    caveats: tuple[str, ...]
    estimates: tuple[Estimate, ...]


class PlanReport(Settings):
    """The report of `rsmtdf cache plan`.

    Attributes:
        config: the config's name.
        cache: the cache's folder.
        seconds: wall time of the measurements.
        measurements: the measurements.
        advice: the recommendation.
    """

    config: str
    cache: str
    seconds: float
    measurements: Measurements
    advice: Advice
