"""What the planner measures and what it makes of it: plain frozen values, all of them JSON."""

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
    """What one view of one teacher costs in one codec.

    Attributes:
        codec: the codec's name.
        label: the codec with its settings, as in a store's folder name.
        bytes: of a record, on average.
        exact: whether all records have that size; else it is the mean of a sample.
        meaningful: whether the size says anything about the teacher meant; False where records are
            compressed and the weights that made the sample were random.
        encode_seconds: packing one view, on one core.
        unpack_seconds: from stored bytes to stored numbers, on one core of the loader.
        decode_seconds: from stored numbers to tokens on the training device.
        read_bandwidth: random records of that size, bytes a second.
        present: views of the plan that the cache holds in this codec.
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
    """One teacher.

    Attributes:
        teacher: its name in the config.
        codec: the codec that the config gives it.
        weights: "own", "random" as the config says, or "absent": not on this machine, so that
            random ones stood in for them.
        seconds: forward pass of one view.
        copy_seconds: bringing a view's tokens to the host's memory.
        codecs: the candidates, the most faithful first.
    """

    teacher: str
    codec: str
    weights: Literal["own", "random", "absent"]
    seconds: Rate
    copy_seconds: Seconds
    codecs: tuple[CodecMeasured, ...]

    def measured(self, codec: str) -> CodecMeasured:
        """The candidate of that name."""
        return next(one for one in self.codecs if one.codec == codec)


class Measurements(Settings):
    """All that the advice depends on.

    Attributes:
        epochs: of one training.
        steps_per_epoch: steps of an epoch.
        step_views: views that the student, and so each teacher, sees at a step.
        labeled_scenes: scenes whose masks are used.
        unlabeled_scenes: scenes without.
        labeled_views: views per labeled scene.
        unlabeled_views: views per unlabeled scene (K) as the config has it.
        device: type of the device in force.
        cores: processor cores of this process.
        teacher_threads: cores that a teacher's forward pass keeps busy; 0 on a GPU.
        render_threads: threads that render while teachers run.
        extract_devices: devices that share the teachers' work on this machine.
        step_seconds: a training step without teachers or store, its rendering included.
        render_seconds: rendering a view for the teachers, on one core.
        write_bandwidth: sustained and synced, bytes a second.
        cold_reads: whether reads were kept out of the page cache, so that they tell of the disk.
        disk_free: bytes.
        teachers: one or more.
    """

    epochs: Some
    steps_per_epoch: Some
    step_views: Some
    labeled_scenes: Count
    unlabeled_scenes: Count
    labeled_views: Some
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
        """Views of a plan with that K."""
        labeled = self.labeled_scenes * self.labeled_views
        return labeled + self.unlabeled_scenes * unlabeled_views

    @property
    def teacher_step_seconds(self) -> float:
        """What the teachers cost at a step that runs them."""
        return self.step_views * sum(one.seconds for one in self.teachers)


class StoreEstimate(Settings):
    """One teacher's store in one codec, for the config's K.

    Attributes:
        teacher: its name.
        label: the codec.
        bytes_a_view: size of a record.
        exact: whether that size is certain.
        meaningful: whether that size says anything about the teacher meant.
        views: of the plan.
        present: how many of them the cache has in this codec.
        bytes: of all records.
        missing_bytes: of those that the cache lacks.
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
    """One choice of codecs, for the config's K.

    Attributes:
        choice: the codec that all teachers use, or "as configured" where the config mixes them.
        stores: by teacher, in the config's order.
        bytes: of all records.
        missing_bytes: of those that the cache lacks.
        fits: whether the disk takes what is missing, with some room left.
        extraction_seconds: making what is missing.
        bound: what the extraction spends its time on.
        read_seconds: reading and unpacking the records of one step.
        hidden: whether that goes on behind the student's own work.
        step_seconds: a training step from the cache.
        online_step_seconds: a step that runs the teachers instead.
        speed_up: the one over the other.
        epochs_to_pay: epochs whose saving equals the extraction; None where nothing is saved.
        experiments_to_pay: the same in whole trainings.
        meaningful: whether all sizes are.
        largest_views: the largest K worth caching in one training; 0 for none.
        limit: what forbids a larger K.
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
    online_step_seconds: float
    speed_up: float
    epochs_to_pay: float | None
    experiments_to_pay: int | None
    meaningful: bool
    largest_views: int
    limit: Limit


class Advice(Settings):
    """What to do.

    Attributes:
        cache: whether to cache at all.
        choice: the `Estimate.choice` that is recommended; None for no cache.
        codecs: by teacher, the codec to set; empty for no cache.
        unlabeled_views: the K that is recommended; None for no cache.
        reasons: why, a sentence each.
        caveats: what is estimated and how, a sentence each.
        estimates: every choice that was weighed, the most faithful first.
    """

    cache: bool
    choice: str | None
    codecs: dict[str, str]
    unlabeled_views: int | None
    reasons: tuple[str, ...]
    caveats: tuple[str, ...]
    estimates: tuple[Estimate, ...]


class PlanReport(Settings):
    """What `rsmtdf cache plan` found.

    Attributes:
        config: the config's name.
        cache: the cache's folder.
        seconds: that the measuring took.
        measurements: what was measured.
        advice: what follows.
    """

    config: str
    cache: str
    seconds: float
    measurements: Measurements
    advice: Advice
