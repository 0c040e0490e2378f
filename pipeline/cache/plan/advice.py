"""Which codec and how many views, or no cache at all: a pure function of what was measured."""

from pipeline.cache.plan.estimates import (
    AS_CONFIGURED,
    DISK_SHARE,
    TIME_SHARE,
    Choice,
    choices,
    estimate,
)
from pipeline.cache.plan.values import Advice, Estimate, Measurements


def advise(measured: Measurements) -> Advice:
    """The choice to make.

    Of the choices that are paid back within one training, the one that comes nearest to the config's
    K, then one whose reads stay hidden behind the student's work, then the most faithful codec. A
    choice whose size is not known, because its weights are absent or random, is not recommended.
    """
    weighed = choices(measured)
    estimates = tuple(estimate(choice) for choice in weighed)
    ranked = [
        (rank(measured, one, faithful), one, choice)
        for faithful, (one, choice) in zip(
            _faithfulness(weighed), zip(estimates, weighed, strict=True), strict=True
        )
        if one.meaningful and one.largest_views
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
    names = [one.teacher for one in measured.teachers]
    return Advice(
        cache=True,
        choice=best.choice,
        codecs=dict(zip(names, (one.codec for one in choice.codecs), strict=True)),
        unlabeled_views=best.largest_views,
        reasons=_reasons(measured, best, choice, estimates),
        caveats=caveats,
        estimates=estimates,
    )


def rank(measured: Measurements, one: Estimate, faithful: int) -> tuple[int, bool, int]:
    """How good a choice is; each part can only grow with the disk's size and bandwidth."""
    wanted = min(measured.unlabeled_views, measured.epochs)
    return min(one.largest_views, wanted), one.hidden, faithful


def _faithfulness(weighed: list[Choice]) -> list[int]:
    """By choice, a number that is larger the nearer its worst codec is to the teacher's tokens."""
    order = [one.codec for one in weighed[0].measured.teachers[0].codecs]
    return [min(-order.index(codec.codec) for codec in one.codecs) for one in weighed]


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
    sentences = [steps, _reading(best)]
    if missing:
        sentences.append(
            f"with K = {views} the extraction takes {span(seconds)} (bound by {bound}) and writes "
            f"{_size(missing)} of the {_size(measured.disk_free)} that are free; one training saves "
            f"{span(measured.epochs * choice.saved_seconds)}"
        )
    else:
        sentences.append(f"with K = {views} everything is in the cache already")
    sentences.append(f"K = {views}: {_limit(measured, best)}")
    if views > measured.unlabeled_views:
        sentences.append(
            f"the config's K = {measured.unlabeled_views} would be extracted in {span(best.extraction_seconds)}: "
            "a larger K shows the student more different views, and saves no further time"
        )
    sentences += [
        _passed_over(measured, one, best) for one in estimates if one.choice != best.choice
    ]
    return tuple(sentences)


def _reading(one: Estimate) -> str:
    reading = f"reading takes {span(one.read_seconds)} a step"
    return (
        f"{reading} and hides behind the student's work"
        if one.hidden
        else f"{reading}, longer than the student's work: training will wait for the disk"
    )


def _limit(measured: Measurements, one: Estimate) -> str:
    """Why K is not larger than that."""
    larger = one.largest_views + 1
    return {
        "epochs": f"a larger K than the {measured.epochs} epochs would never be used",
        "disk": f"K = {larger} would take more than {DISK_SHARE:.0%} of the free disk",
        "time": f"the extraction for K = {larger} would take more than {TIME_SHARE:.0%} of the training "
        "that it replaces, or more than one training saves",
    }[one.limit]


def _passed_over(measured: Measurements, one: Estimate, best: Estimate) -> str:
    """Why another choice is not recommended."""
    wanted = min(measured.unlabeled_views, measured.epochs)
    if not one.largest_views:
        return f"{one.choice}: {_refusal(measured, one)}"
    if not one.meaningful:
        return f"{one.choice}: its size is not known without the teachers' weights"
    if min(one.largest_views, wanted) < min(best.largest_views, wanted):
        return f"{one.choice}: only K = {one.largest_views} ({_limit(measured, one)})"
    if best.hidden and not one.hidden:
        return f"{one.choice}: reading would take {span(one.read_seconds)} a step, longer than the student's work"
    more = f", though it allows K = {one.largest_views}" * (one.largest_views > best.largest_views)
    return f"{one.choice}: not needed, {best.choice} does as well and loses no more{more}"


def _refusals(measured: Measurements, estimates: tuple[Estimate, ...]) -> tuple[str, ...]:
    return tuple(
        f"{one.choice}: {_refusal(measured, one)}"
        if not one.largest_views
        else f"{one.choice}: its size is not known without the teachers' weights"
        for one in estimates
    )


def _refusal(measured: Measurements, one: Estimate) -> str:
    """Why a choice does not pay in one training even with a single view per scene."""
    if one.epochs_to_pay is None:
        return (
            f"a step from the cache takes {span(one.step_seconds)}, running the teachers instead "
            f"{span(one.online_step_seconds)}: reading is slower than computing"
        )
    if one.limit == "disk":
        return f"the disk has {_size(measured.disk_free)} free, too little even for K = 1"
    several = one.experiments_to_pay
    when = (
        f"; with K = {measured.unlabeled_views} it pays from {several} trainings on that share it"
    )
    return (
        f"{measured.epochs} epochs are too few: the extraction takes more than {TIME_SHARE:.0%} of the training "
        f"that it replaces, or more than that saves{when}"
    )


def _caveats(measured: Measurements) -> tuple[str, ...]:
    """What a reader should know of how the numbers came about."""
    how = (
        "measured: the teachers, rendering, packing, the student's step, the disk; estimated: the whole "
        "extraction (its slowest part sets the pace), a step from the cache (reading is taken to go on "
        "behind the student's work) and a step with teachers (the student's plus theirs)"
    )
    memory = "reads are of a fresh file: a store that fits the memory is read faster from the second time on"
    sentences = [how, memory]
    if not measured.cold_reads:
        sentences.append(
            "the page cache could not be emptied here: the read bandwidth is of memory, the disk may be slower"
        )
    absent = [one.teacher for one in measured.teachers if one.weights == "absent"]
    if absent:
        sentences.append(
            f"the weights of {', '.join(absent)} are not on this machine: random ones were measured, which "
            "take the same time, and the same bytes in codecs whose records all have one size"
        )
    if any(not one.meaningful for teacher in measured.teachers for one in teacher.codecs):
        sentences.append(
            "sizes of compressed records under random weights say nothing about trained ones"
        )
    if any(
        not one.exact and one.meaningful for teacher in measured.teachers for one in teacher.codecs
    ):
        sentences.append("sizes of compressed records come from a small sample of views")
    if AS_CONFIGURED in {one.name for one in choices(measured)}:
        sentences.append(f"{AS_CONFIGURED}: each teacher in the codec that the config gives it")
    return tuple(sentences)


def span(seconds: float) -> str:
    """A duration for people."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
