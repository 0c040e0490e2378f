"""Estimate the sizes and times of a choice of codecs by arithmetic on the measurements."""

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

# Share of the free disk that features may take: other programs write too.
DISK_SHARE = 0.9
# Share of a training with online teachers that the extraction may take.
TIME_SHARE = 0.5
# Reading counts as hidden if it lengthens a step by at most this share.
READ_SLACK = 0.05

AS_CONFIGURED = "as configured"


@dataclass(frozen=True)
class Choice:
    """A codec for every teacher.

    Attributes:
        measured: all measurements.
        name: the codec's name, or `AS_CONFIGURED`.
        codecs: the codec of each teacher, in the order of `measured.teachers`.
    """

    measured: Measurements
    name: str
    codecs: tuple[CodecMeasured, ...]

    @property
    def meaningful(self) -> bool:
        """Whether every size is that of the configured teacher."""
        return all(codec.meaningful for codec in self.codecs)

    @property
    def read_seconds(self) -> float:
        """Seconds in which the loader reads and unpacks one step's records."""
        return sum(_read_seconds(self.measured, codec) for codec in self.codecs)

    @property
    def work_seconds(self) -> float:
        """Seconds of a step without reading: the student's work, and decoding on its device."""
        decode = sum(codec.decode_seconds for codec in self.codecs)
        return self.measured.step_seconds + self.measured.step_views * decode

    @property
    def step_seconds(self) -> float:
        """Seconds of a step from the cache: the next records are read while the student works."""
        return max(self.work_seconds, self.read_seconds)

    @property
    def hidden(self) -> bool:
        """Whether reading is hidden behind the student's work."""
        return self.read_seconds <= (1 + READ_SLACK) * self.work_seconds

    @property
    def training_seconds(self) -> float:
        """Seconds of one training from the cache, without its validations."""
        return self.measured.epochs * self.measured.steps_per_epoch * self.step_seconds

    @property
    def online_step_seconds(self) -> float:
        """Seconds of a step that runs the teachers instead."""
        return self.measured.step_seconds + self.measured.teacher_step_seconds

    @property
    def saved_seconds(self) -> float:
        """Seconds that the cache saves per epoch; negative if it costs time."""
        return self.measured.steps_per_epoch * (self.online_step_seconds - self.step_seconds)

    def missing(self, unlabeled_views: int) -> tuple[int, ...]:
        """Return for each teacher how many views of a plan with this K the cache lacks."""
        views = self.measured.views(unlabeled_views)
        return tuple(max(0, views - codec.present) for codec in self.codecs)

    def missing_bytes(self, unlabeled_views: int) -> float:
        """Return the size of the missing records in bytes."""
        missing = self.missing(unlabeled_views)
        return sum(count * codec.bytes for count, codec in zip(missing, self.codecs, strict=True))

    def fits(self, unlabeled_views: int) -> bool:
        """Return whether the disk has room for the missing records."""
        return self.missing_bytes(unlabeled_views) <= DISK_SHARE * self.measured.disk_free

    def extraction(self, unlabeled_views: int) -> tuple[float, Bound]:
        """Return the seconds that the extraction takes, and the part that bounds it.

        Rendering, teachers, packing and writing run concurrently, so the slowest sets the pace. On a
        CPU they also share its cores.
        """
        measured = self.measured
        missing = self.missing(unlabeled_views)
        teachers = sum(
            count * (teacher.seconds + teacher.copy_seconds)
            for count, teacher in zip(missing, measured.teachers, strict=True)
        )
        rendering = max(missing) * measured.render_seconds
        packing = [
            count * codec.encode_seconds for count, codec in zip(missing, self.codecs, strict=True)
        ]
        writing = self.missing_bytes(unlabeled_views) / measured.write_bandwidth
        paces: dict[Bound, float] = {
            "teachers": teachers / measured.extract_devices,
            "rendering": rendering / measured.render_threads,
            "packing": max(packing),
            "writing": writing,
        }
        busy: dict[Bound, float] = {
            "teachers": teachers * measured.teacher_threads,
            "rendering": rendering,
            "packing": sum(packing),
        }
        pace, shared = max(paces.values()), sum(busy.values()) / measured.cores
        parts = paces if pace >= shared else busy
        bound = max(parts, key=lambda part: parts[part])
        return max(pace, shared), bound if parts[bound] > 0 else "nothing"

    def worthwhile(self, unlabeled_views: int) -> bool:
        """Return whether an extraction for this K pays for itself within one training.

        It may take neither more than training saves, nor more than `TIME_SHARE` of the training
        it replaces: otherwise the first result would come later than without a cache.
        """
        epochs = self.measured.epochs
        online = epochs * self.measured.steps_per_epoch * self.online_step_seconds
        seconds, _ = self.extraction(unlabeled_views)
        saved = epochs * self.saved_seconds
        return saved > 0 and seconds <= min(TIME_SHARE * online, saved)

    def largest_views(self) -> tuple[int, Limit]:
        """Return the largest K that fits, is worthwhile and is used, and the limit of a larger K."""
        largest = 0
        for number in range(1, self.measured.epochs + 1):
            # Both conditions get stricter with K.
            if not self.fits(number):
                return largest, "disk"
            if not self.worthwhile(number):
                return largest, "time"
            largest = number
        return largest, "epochs"


def choices(measured: Measurements) -> list[Choice]:
    """Return one choice per codec, the most faithful first, then the config's mixture of codecs."""
    teachers = measured.teachers
    alternatives = [
        Choice(measured, codec.codec, tuple(teacher.measured(codec.codec) for teacher in teachers))
        for codec in teachers[0].codecs
    ]
    if len({teacher.codec for teacher in teachers}) > 1:
        mixed = tuple(teacher.measured(teacher.codec) for teacher in teachers)
        alternatives.append(Choice(measured, AS_CONFIGURED, mixed))
    return alternatives


def estimate(choice: Choice) -> Estimate:
    """Estimate a choice for the config's K."""
    measured = choice.measured
    views = measured.unlabeled_views
    seconds, bound = choice.extraction(views)
    saved = choice.saved_seconds
    epochs = seconds / saved if saved > 0 else None
    largest, limit = choice.largest_views()
    stores = tuple(
        _store(measured, teacher.teacher, codec, missing)
        for teacher, codec, missing in zip(
            measured.teachers, choice.codecs, choice.missing(views), strict=True
        )
    )
    return Estimate(
        choice=choice.name,
        stores=stores,
        bytes=sum(store.bytes for store in stores),
        missing_bytes=choice.missing_bytes(views),
        fits=choice.fits(views),
        extraction_seconds=seconds,
        bound=bound,
        read_seconds=choice.read_seconds,
        hidden=choice.hidden,
        step_seconds=choice.step_seconds,
        training_seconds=choice.training_seconds,
        online_step_seconds=choice.online_step_seconds,
        speed_up=choice.online_step_seconds / choice.step_seconds,
        epochs_to_pay=epochs,
        experiments_to_pay=None if epochs is None else math.ceil(epochs / measured.epochs),
        meaningful=choice.meaningful,
        largest_views=largest,
        limit=limit,
    )


def _store(
    measured: Measurements, teacher: str, codec: CodecMeasured, missing: int
) -> StoreEstimate:
    views = measured.views(measured.unlabeled_views)
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
        read_seconds=_read_seconds(measured, codec),
    )


def _read_seconds(measured: Measurements, codec: CodecMeasured) -> float:
    return measured.step_views * (codec.bytes / codec.read_bandwidth + codec.unpack_seconds)
