"""What it cost: the time of the trainings and of the teachers, and the size of the cache."""

from collections.abc import Iterator

import numpy as np

from pipeline.runs import RunRecord
from pipeline.runs.report.answers.answer import Answer, percent
from pipeline.runs.report.data import PageData
from rsmtdf_core.words import bytes_text, counted, span

_QUESTION = "What did it cost?"


def cost(page: PageData) -> Answer:
    """Add up the logged seconds of all runs, and those of the stores that they read."""
    records = page.trained
    trainings = [training_seconds(record) for record in records]
    known = [seconds for seconds in trainings if seconds is not None]
    training = sum(known) if len(known) == len(trainings) and known else None
    teachers = sum(store.seconds for store in page.costs if store.holds == "tokens")
    sentences = (*_training(records, training), *_teachers(page, teachers, training))
    short = "unknown" if training is None else span(training + teachers)
    return Answer(_QUESTION, short, sentences)


def training_seconds(record: RunRecord) -> float | None:
    """Estimate the seconds of a run's steps from those that were logged; None if none were."""
    logged = [
        (line["seconds"]["step"], line.get("interval", 1))
        for line in record.lines
        if isinstance(line.get("seconds"), dict) and "step" in line["seconds"]
    ]
    if not logged:
        return None
    seconds, steps = np.array(logged, np.float64).T
    return float(record.steps * np.average(seconds, weights=steps))


def _training(records: list[RunRecord], seconds: float | None) -> Iterator[str]:
    if not records:
        yield "The training was not recorded, because the model was imported."
        return
    if seconds is None:
        yield "The times of the steps were not recorded."
        return
    steps = sum(record.steps for record in records)
    runs = "The training" if len(records) == 1 else f"The {counted(len(records), 'training')}"
    yield (
        f"{runs} took about {span(seconds)} for {counted(steps, 'step')}, {span(seconds / max(1, steps))} each, "
        "without validations."
    )


def _teachers(page: PageData, seconds: float, training: float | None) -> Iterator[str]:
    if any(record.config.teacher_source == "online" for record in page.trained):
        yield "Teachers ran in the training's steps, and their time is part of these."
    if not page.costs:
        return
    if any(store.state == "gone" for store in page.costs):
        yield "Some stores are no longer in the cache, so the time of their teachers is unknown."
        return
    share = "" if training is None else f", {percent(seconds / (seconds + training))} of the total"
    yield f"The teachers took {span(seconds)}{share}, once for all runs that read the cache."
    size = sum(store.bytes for store in page.costs)
    count = len(page.costs)
    yield f"Their {counted(count, 'store')} {'takes' if count == 1 else 'take'} {bytes_text(size)} on disk."
