"""Recommend a codec and a number of views, or no cache: a pure function of the measurements."""

from pipeline.cache.plan.estimates import (
    AS_CONFIGURED,
    DISK_SHARE,
    TIME_SHARE,
    Choice,
    choices,
    estimate,
)
from pipeline.cache.plan.values import Advice, Estimate, Measurements
from rsmtdf_core.words import span

LONG_SECONDS = 24 * 3600.0
"""Time of a training from which on smaller settings are suggested."""


def advise(measured: Measurements) -> Advice:
    """Recommend a choice.

    Among the choices that pay for themselves within one training, prefer the K nearest to the
    config's, then reads hidden behind the student's work, then the most faithful codec. A choice of
    unknown size (its weights are absent or random) is never recommended.
    """
    considered = choices(measured)
    estimates = tuple(estimate(choice) for choice in considered)
    ranked = [
        (rank(measured, option, faithful), option, choice)
        for faithful, (option, choice) in zip(
            _faithfulness(considered), zip(estimates, considered, strict=True), strict=True
        )
        if option.meaningful and option.largest_views
    ]
    caveats = _caveats(measured)
    if not ranked:
        reasons = _refusals(measured, estimates)
        return Advice(
            cache=False,
            choice=None,
            codecs={},
            unlabeled_views=None,
            reasons=reasons,
            caveats=caveats,
            estimates=estimates,
        )
    _, best, choice = max(ranked, key=lambda entry: entry[0])
    names = [teacher.teacher for teacher in measured.teachers]
    return Advice(
        cache=True,
        choice=best.choice,
        codecs=dict(zip(names, (codec.codec for codec in choice.codecs), strict=True)),
        unlabeled_views=best.largest_views,
        reasons=_reasons(measured, best, choice, estimates),
        caveats=caveats,
        estimates=estimates,
    )


def rank(measured: Measurements, option: Estimate, faithful: int) -> tuple[int, bool, int]:
    """Return the sort key of a choice; no part decreases with a larger or faster disk."""
    wanted = min(measured.unlabeled_views, measured.epochs)
    return min(option.largest_views, wanted), option.hidden, faithful


def _faithfulness(considered: list[Choice]) -> list[int]:
    """Score each choice by its worst codec: the nearer to the teacher's tokens, the larger."""
    order = [codec.codec for codec in considered[0].measured.teachers[0].codecs]
    return [min(-order.index(codec.codec) for codec in choice.codecs) for choice in considered]


def _reasons(
    measured: Measurements, best: Estimate, choice: Choice, estimates: tuple[Estimate, ...]
) -> tuple[str, ...]:
    views = best.largest_views
    seconds, bound = choice.extraction(views)
    missing = choice.missing_bytes(views)
    steps = (
        f"a step takes {span(best.step_seconds)} from the cache and {span(best.online_step_seconds)} with "
        f"the teachers in the loop: {best.speed_up:.1f} times faster"
    )
    sentences = [steps, _reading(best), _training(measured, best)]
    if missing:
        sentences.append(
            f"with K = {views} the extraction takes {span(seconds)} (bound by {bound}) and writes "
            f"{_size(missing)} of the {_size(measured.disk_free)} that are free; one training saves "
            f"{span(measured.epochs * choice.saved_seconds)}"
        )
    else:
        sentences.append(f"with K = {views} the cache already has everything")
    sentences.append(f"K = {views}: {_limit(measured, best)}")
    if views > measured.unlabeled_views:
        sentences.append(
            f"the config's K = {measured.unlabeled_views} would be extracted in {span(best.extraction_seconds)}: "
            "a larger K shows the student more different views, and saves no further time"
        )
    sentences += [
        _passed_over(measured, option, best) for option in estimates if option.choice != best.choice
    ]
    return tuple(sentences)


def _training(measured: Measurements, option: Estimate) -> str:
    """State the time of a training, and how to get smaller settings if it is long."""
    steps = measured.epochs * measured.steps_per_epoch
    sentence = (
        f"a training of {steps:,} steps takes {span(option.training_seconds)} and its validations"
    )
    if option.training_seconds > LONG_SECONDS:
        sentence += "; `rsmtdf start DIR --hours H` proposes settings that fit a time"
    return sentence


def _reading(option: Estimate) -> str:
    reading = f"reading takes {span(option.read_seconds)} a step"
    return (
        f"{reading} and hides behind the student's work"
        if option.hidden
        else f"{reading}, longer than the student's work: training will wait for the disk"
    )


def _limit(measured: Measurements, option: Estimate) -> str:
    """Explain why K is not larger."""
    larger = option.largest_views + 1
    return {
        "epochs": f"a larger K than the {measured.epochs} epochs would never be used",
        "disk": f"K = {larger} would take more than {DISK_SHARE:.0%} of the free disk",
        "time": f"the extraction for K = {larger} would take more than {TIME_SHARE:.0%} of the training "
        "it replaces, or more than one training saves",
    }[option.limit]


def _passed_over(measured: Measurements, option: Estimate, best: Estimate) -> str:
    """Explain why another choice is not recommended."""
    wanted = min(measured.unlabeled_views, measured.epochs)
    if not option.largest_views:
        return f"{option.choice}: {_refusal(measured, option)}"
    if not option.meaningful:
        return f"{option.choice}: its size is not known without the teachers' weights"
    if min(option.largest_views, wanted) < min(best.largest_views, wanted):
        return f"{option.choice}: only K = {option.largest_views} ({_limit(measured, option)})"
    if best.hidden and not option.hidden:
        return (
            f"{option.choice}: reading would take {span(option.read_seconds)} a step, longer than the "
            "student's work"
        )
    more = f", though it allows K = {option.largest_views}"
    if option.largest_views <= best.largest_views:
        more = ""
    return f"{option.choice}: not needed, {best.choice} is as good and loses no more{more}"


def _refusals(measured: Measurements, estimates: tuple[Estimate, ...]) -> tuple[str, ...]:
    return tuple(
        f"{option.choice}: {_refusal(measured, option)}"
        if not option.largest_views
        else f"{option.choice}: its size is not known without the teachers' weights"
        for option in estimates
    )


def _refusal(measured: Measurements, option: Estimate) -> str:
    """Explain why a choice does not pay in one training even with a single view per scene."""
    if option.epochs_to_pay is None:
        return (
            f"a step from the cache takes {span(option.step_seconds)}, running the teachers instead "
            f"{span(option.online_step_seconds)}: reading is slower than computing"
        )
    if option.limit == "disk":
        return f"the disk has {_size(measured.disk_free)} free, too little even for K = 1"
    several = option.experiments_to_pay
    when = f"; with K = {measured.unlabeled_views} it pays once {several} trainings share it"
    return (
        f"{measured.epochs} epochs are too few: the extraction takes more than {TIME_SHARE:.0%} of the training "
        f"it replaces, or more than the training saves{when}"
    )


def _caveats(measured: Measurements) -> tuple[str, ...]:
    """Explain how the numbers were obtained."""
    how = (
        "measured: the teachers, rendering, packing, the student's step, the disk; estimated: the whole "
        "extraction (its slowest part sets the pace), a step from the cache (reading is assumed to run "
        "behind the student's work) and a step with teachers (the student's time plus theirs)"
    )
    memory = "reads are from a fresh file: a store that fits into memory is faster from the second read on"
    sentences = [how, memory]
    if not measured.cold_reads:
        sentences.append(
            "the page cache could not be emptied: the read bandwidth is that of memory, and the disk may be slower"
        )
    absent = [teacher.teacher for teacher in measured.teachers if teacher.weights == "absent"]
    if absent:
        sentences.append(
            f"the weights of {', '.join(absent)} are not on this machine: random weights were measured, which "
            "take the same time, and the same bytes in codecs with records of one size"
        )
    codecs = [codec for teacher in measured.teachers for codec in teacher.codecs]
    if not all(codec.meaningful for codec in codecs):
        sentences.append(
            "sizes of compressed records under random weights do not predict those under trained weights"
        )
    if any(codec.meaningful and not codec.exact for codec in codecs):
        sentences.append("sizes of compressed records come from a small sample of views")
    if AS_CONFIGURED in {choice.name for choice in choices(measured)}:
        sentences.append(f"{AS_CONFIGURED}: each teacher in its codec from the config")
    return tuple(sentences)


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
