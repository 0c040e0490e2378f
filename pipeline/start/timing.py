"""Fit views and epochs into a time: pure functions of measured times."""

from pipeline.start.choosing import largest_batch, smaller, supervised, without_teacher
from pipeline.start.values import Data, Draft, Machine, Schedule, Timing
from rsmtdf_core.words import counted

LEAST_STEPS = 500
"""Steps below which pseudo-labels and teachers cost more than they give."""
USEFUL_STEPS = 3000
USEFUL_EPOCHS = 60
VALIDATIONS = 10
VALIDATION_SHARE = 0.2
"""Share of the time that validations may take, unless a single one takes longer."""
EXTRACTION_SHARE = 0.3
"""Share of the time that the extraction may take."""
DISK_SHARE = 0.5
VIEWS = (16, 8, 4)
"""Views of a scene to choose from; fewer than 4 are far too few."""
_SPARE = 0.9
_WINDOWS = 2.2  # window pixels by scene pixel, with an overlap of a third


def schedule(draft: Draft, data: Data, timing: Timing, machine: Machine, hours: float) -> Schedule:
    """Return the longest useful training that fits.

    Args:
        draft: the draft.
        data: the scenes.
        timing: measured times of the draft.
        machine: the machine.
        hours: time for extraction and training.
    """
    seconds = _SPARE * 3600 * hours
    views = cached_views(draft, data, timing, machine, hours)
    extraction = views * (data.labeled + data.unlabeled) * timing.teacher
    an_epoch = steps_per_epoch(draft, data)
    validation = validation_seconds(draft, data, timing)
    affordable = VALIDATION_SHARE * seconds / validation if validation else VALIDATIONS
    validations = max(1, int(min(VALIDATIONS, affordable)))
    useful = max(USEFUL_STEPS, USEFUL_EPOCHS * an_epoch)
    fits = int((seconds - extraction - validations * validation) / timing.step)
    epochs = max(1, min(useful, fits) // an_epoch)
    steps = epochs * an_epoch
    every = -(-epochs // validations)
    training = steps * timing.step + -(-epochs // every) * validation
    return Schedule(epochs, steps, every, views, extraction, training, fits < useful)


def is_enough(plan: Schedule) -> bool:
    """Return whether the steps are enough for methods beyond supervised, or as many as are useful."""
    return plan.steps >= LEAST_STEPS or not plan.limited


def cached_views(draft: Draft, data: Data, timing: Timing, machine: Machine, hours: float) -> int:
    """Return the views of each scene that the teacher has time and the disk has room for; 0 without a teacher."""
    if draft.teacher is None:
        return 0
    scenes = data.labeled + data.unlabeled
    for views in VIEWS:
        in_time = views * scenes * timing.teacher <= EXTRACTION_SHARE * 3600 * hours
        if in_time and views * scenes * view_bytes(draft) <= DISK_SHARE * machine.disk:
            return views
    return 0


def view_bytes(draft: Draft) -> int:
    """Return the size of a view's tokens in fp16, bytes."""
    if draft.teacher is None:
        return 0
    side = draft.teacher_input // draft.teacher.patch
    return 2 * side**2 * draft.teacher.channels


def steps_per_epoch(draft: Draft, data: Data) -> int:
    """Return the steps of an epoch, as in `BatchSchedule`."""
    batch = min(draft.batch, largest_batch(data, draft.method))
    pairs = 2 * (data.unlabeled // 2)
    if pairs >= batch:
        return pairs // batch
    return -(-data.labeled // batch)


def validation_seconds(draft: Draft, data: Data, timing: Timing) -> float:
    """Estimate the time of a validation: a third of a step's time by pixel, for overlapping windows."""
    megapixels = draft.step_crops * draft.crop**2 / 1e6
    return _WINDOWS * data.val_megapixels * timing.step / 3 / megapixels


def settle(draft: Draft, data: Data, machine: Machine, timing: Timing, hours: float) -> Draft:
    """Return a draft whose training has enough steps in the time: with a smaller crop, or a method that costs less.

    Times of other drafts are estimated from those of `draft`.
    """
    settled = draft
    while True:
        times = scaled(timing, draft, settled)
        plan = schedule(settled, data, times, machine, hours)
        following = _cheaper(settled, data, machine, plan)
        if following is None:
            return settled
        settled = following


def scaled(timing: Timing, measured: Draft, draft: Draft) -> Timing:
    """Estimate the times of a draft from those of another one: in proportion to the pixels."""
    pixels = (draft.step_crops * draft.crop**2) / (measured.step_crops * measured.crop**2)
    inputs = (draft.teacher_input / measured.teacher_input) ** 2 if measured.teacher else 0
    return Timing(step=timing.step * pixels, teacher=timing.teacher * inputs)


def _cheaper(draft: Draft, data: Data, machine: Machine, plan: Schedule) -> Draft | None:
    """Return the next draft that needs less time; None if the time is enough, or nothing needs less."""
    if draft.teacher is not None and not plan.views:
        why = f"none: {VIEWS[-1]} cached views of each scene take too much time or disk"
        return without_teacher(draft, data, machine, why)
    if is_enough(plan):
        return None
    if (less := smaller(draft, data, machine)) is not None:
        return less
    if draft.method == "supervised":
        return None
    few = f"only {counted(plan.steps, 'step')} fit: too few for pseudo-labels or teachers to pay"
    return supervised(draft, few)
