"""What a choice of codecs comes to: sizes and times as plain arithmetic on what was measured."""

import math
from dataclasses import dataclass

from pipeline.cache.plan.values import (
    Bound,
    CodecMeasured,
    Estimate,
    Limit,
    Measurements,
    StoreEstimate,
)

# Of the free disk, what features may take: other programs write too.
DISK_SHARE = 0.9
# Of a training that runs the teachers online, what the extraction may take at most.
TIME_SHARE = 0.5
# Reading counts as hidden where it makes a step longer by no more than this.
READ_SLACK = 0.05

AS_CONFIGURED = "as configured"


@dataclass(frozen=True)
class Choice:
    """A codec for every teacher.

    Attributes:
        measured: everything that was measured.
        name: the codec's name, or `AS_CONFIGURED`.
        codecs: one a teacher, in the order of `measured.teachers`.
    """

    measured: Measurements
    name: str
    codecs: tuple[CodecMeasured, ...]

    @property
    def meaningful(self) -> bool:
        """Whether every size is of the teacher meant."""
        return all(one.meaningful for one in self.codecs)

    @property
    def read_seconds(self) -> float:
        """Reading and unpacking one step's records, a job of the loader."""
        return sum(_read_seconds(self.measured, one) for one in self.codecs)

    @property
    def work_seconds(self) -> float:
        """What a step has to do besides reading: the student's work, and decoding on its device."""
        decode = sum(one.decode_seconds for one in self.codecs)
        return self.measured.step_seconds + self.measured.step_views * decode

    @property
    def step_seconds(self) -> float:
        """A step from the cache: the next records are read while the student works."""
        return max(self.work_seconds, self.read_seconds)

    @property
    def hidden(self) -> bool:
        """Whether reading stays behind the student's work."""
        return self.read_seconds <= (1 + READ_SLACK) * self.work_seconds

    @property
    def online_step_seconds(self) -> float:
        """A step that runs the teachers instead."""
        return self.measured.step_seconds + self.measured.teacher_step_seconds

    @property
    def saved_seconds(self) -> float:
        """What the cache saves in an epoch; negative where it costs."""
        return self.measured.steps_per_epoch * (self.online_step_seconds - self.step_seconds)

    def missing(self, unlabeled_views: int) -> tuple[int, ...]:
        """By teacher, views of a plan with that K that the cache lacks."""
        views = self.measured.views(unlabeled_views)
        return tuple(max(0, views - one.present) for one in self.codecs)

    def missing_bytes(self, unlabeled_views: int) -> float:
        """Size of those."""
        missing = self.missing(unlabeled_views)
        return sum(count * one.bytes for count, one in zip(missing, self.codecs, strict=True))

    def fits(self, unlabeled_views: int) -> bool:
        """Whether the disk takes them."""
        return self.missing_bytes(unlabeled_views) <= DISK_SHARE * self.measured.disk_free

    def extraction(self, unlabeled_views: int) -> tuple[float, Bound]:
        """Seconds that making them takes, and on what.

        Rendering, teachers, packing and writing go on at once, so the slowest sets the pace; on a
        CPU they also share its cores.
        """
        found = self.measured
        missing = self.missing(unlabeled_views)
        teachers = sum(
            count * (one.seconds + one.copy_seconds)
            for count, one in zip(missing, found.teachers, strict=True)
        )
        rendering = max(missing) * found.render_seconds
        packing = [n * one.encode_seconds for n, one in zip(missing, self.codecs, strict=True)]
        writing = self.missing_bytes(unlabeled_views) / found.write_bandwidth
        paces: dict[Bound, float] = {
            "teachers": teachers / found.extract_devices,
            "rendering": rendering / found.render_threads,
            "packing": max(packing),
            "writing": writing,
        }
        busy: dict[Bound, float] = {
            "teachers": teachers * found.teacher_threads,
            "rendering": rendering,
            "packing": sum(packing),
        }
        pace, shared = max(paces.values()), sum(busy.values()) / found.cores
        parts = paces if pace >= shared else busy
        bound = max(parts, key=lambda part: parts[part])
        return max(pace, shared), bound if parts[bound] > 0 else "nothing"

    def worthwhile(self, unlabeled_views: int) -> bool:
        """Whether an extraction for that K is paid back within one training.

        It may neither take more than training saves, nor more than `TIME_SHARE` of the training
        that it replaces: more would make the first result come later than without a cache.
        """
        epochs = self.measured.epochs
        online = epochs * self.measured.steps_per_epoch * self.online_step_seconds
        seconds, _ = self.extraction(unlabeled_views)
        saved = epochs * self.saved_seconds
        return saved > 0 and seconds <= min(TIME_SHARE * online, saved)

    def largest_views(self) -> tuple[int, Limit]:
        """The largest K that fits, is worthwhile and is used at all, and what forbids a larger one."""
        largest = 0
        for number in range(1, self.measured.epochs + 1):
            # Both only get harder with K.
            if not self.fits(number):
                return largest, "disk"
            if not self.worthwhile(number):
                return largest, "time"
            largest = number
        return largest, "epochs"


def choices(measured: Measurements) -> list[Choice]:
    """One codec for all teachers, the most faithful first; then the config's own mixture."""
    names = [one.codec for one in measured.teachers[0].codecs]
    found = [
        Choice(measured, name, tuple(one.measured(name) for one in measured.teachers))
        for name in names
    ]
    if len({one.codec for one in measured.teachers}) > 1:
        mixed = tuple(one.measured(one.codec) for one in measured.teachers)
        found.append(Choice(measured, AS_CONFIGURED, mixed))
    return found


def estimate(choice: Choice) -> Estimate:
    """Everything about a choice, for the config's K."""
    found = choice.measured
    views = found.unlabeled_views
    seconds, bound = choice.extraction(views)
    saved = choice.saved_seconds
    epochs = seconds / saved if saved > 0 else None
    largest, limit = choice.largest_views()
    stores = tuple(
        _store(found, one.teacher, codec, missing)
        for one, codec, missing in zip(
            found.teachers, choice.codecs, choice.missing(views), strict=True
        )
    )
    return Estimate(
        choice=choice.name,
        stores=stores,
        bytes=sum(one.bytes for one in stores),
        missing_bytes=choice.missing_bytes(views),
        fits=choice.fits(views),
        extraction_seconds=seconds,
        bound=bound,
        read_seconds=choice.read_seconds,
        hidden=choice.hidden,
        step_seconds=choice.step_seconds,
        online_step_seconds=choice.online_step_seconds,
        speed_up=choice.online_step_seconds / choice.step_seconds,
        epochs_to_pay=epochs,
        experiments_to_pay=None if epochs is None else math.ceil(epochs / found.epochs),
        meaningful=choice.meaningful,
        largest_views=largest,
        limit=limit,
    )


def _store(found: Measurements, teacher: str, codec: CodecMeasured, missing: int) -> StoreEstimate:
    views = found.views(found.unlabeled_views)
    return StoreEstimate(
        teacher=teacher,
        label=codec.label,
        bytes_a_view=codec.bytes,
        exact=codec.exact,
        meaningful=codec.meaningful,
        views=views,
        present=min(views, codec.present),
        bytes=views * codec.bytes,
        missing_bytes=missing * codec.bytes,
        read_seconds=_read_seconds(found, codec),
    )


def _read_seconds(found: Measurements, codec: CodecMeasured) -> float:
    return found.step_views * (codec.bytes / codec.read_bandwidth + codec.unpack_seconds)
