"""Turn a draft and its schedule into keys of a config, each with its reason: pure functions."""

from collections.abc import Iterator
from typing import Any

from pipeline.start.choosing import MEMORY_SHARE, step_memory
from pipeline.start.timing import is_enough, schedule
from pipeline.start.values import Choice, Data, Draft, Machine, Proposal, Schedule, Timing
from rsmtdf_core.words import bytes_text, counted

LONGEST_EMA, SHORTEST_EMA = 0.996, 0.9
_WORKERS = 4


def proposal(draft: Draft, data: Data, timing: Timing, machine: Machine, hours: float) -> Proposal:
    """Return all settings with their reasons.

    Args:
        draft: the settings that do not depend on time.
        data: the scenes.
        timing: measured times of the draft.
        machine: the machine.
        hours: time for extraction and training.
    """
    plan = schedule(draft, data, timing, machine, hours)
    choices = (
        *_data(data),
        *_views(draft, plan),
        *_models(draft),
        *_optimiser(draft, plan, timing, hours),
        *_evaluation(draft, plan, data),
        *_runtime(draft, machine),
    )
    return Proposal(
        choices=choices,
        method=draft.method,
        steps=plan.steps,
        extraction_seconds=plan.extraction_seconds,
        training_seconds=plan.training_seconds,
        memory=step_memory(draft),
        cautions=tuple(_cautions(draft, plan, machine, data, hours)),
    )


def _cautions(
    draft: Draft, plan: Schedule, machine: Machine, data: Data, hours: float
) -> Iterator[str]:
    if draft.student_weights == "random":
        yield (
            "the student starts from random weights and learns far less from few labels; name a folder with weights "
            "files by --weights, or connect to the hub"
        )
    need = step_memory(draft)
    if need > MEMORY_SHARE * machine.memory:
        yield (
            f"a step takes about {bytes_text(need)}, and only {bytes_text(machine.memory)} are free: the training may "
            "run out of memory"
        )
    if plan.extraction_seconds + plan.training_seconds > 3600 * hours:
        yield f"a single epoch takes longer than {hours:g} h on this machine"
    elif not is_enough(plan):
        steps = counted(plan.steps, "step")
        yield f"only {steps} fit into {hours:g} h; more time, by --hours, gives a better model"
    if not data.val:
        yield "no validation scene has a mask, so the last model is kept, not the best one"


def ema_decay(steps: int) -> float:
    """Return the EMA decay whose horizon is a tenth of the steps, at most that of the published recipe."""
    return round(min(LONGEST_EMA, max(SHORTEST_EMA, 1 - 10 / steps)), 4)


def window(draft: Draft, data: Data) -> int:
    """Return the side of a sliding window: a transformer's crop, or up to twice a CNN's, as far as scenes reach."""
    if draft.student.kind == "vit":
        return draft.crop
    side = min(2 * draft.crop, max(draft.crop, data.side))
    return side // draft.student.unit * draft.student.unit


def _data(data: Data) -> list[Choice]:
    masks = counted(data.labeled, "training scene")
    return [Choice(key="data.labeled", value=1, reason=f"use all masks: those of {masks}")]


def _views(draft: Draft, plan: Schedule) -> list[Choice]:
    above = "seen from above, images have no upright side; remove both keys if yours have one"
    views: int | str = plan.views or "fresh"
    why = (
        f"{plan.views} cached views of each scene: as many as time and disk allow"
        if plan.views
        else "no teacher: each use of a scene draws a new view"
    )
    return [
        Choice(key="views.crop", value=draft.crop, reason=draft.reasons["views.crop"]),
        Choice(key="views.vertical_flip", value=0.5, reason=above),
        Choice(key="views.quarter_turns", value=1),
        Choice(key="views.unlabeled_views", value=views, reason=why),
        Choice(key="views.labeled_views", value=views),
    ]


def _models(draft: Draft) -> list[Choice]:
    student, teacher, why = draft.student, draft.teacher, draft.reasons
    teachers: list[dict[str, Any]] = []
    if teacher is not None:
        named = {"name": teacher.name, "family": "timm", "model": teacher.model}
        teachers = [{**named, "weights": draft.teacher_weights, "input_size": draft.teacher_input}]
    choices = [
        Choice(key="teachers", value=teachers, reason=why["teachers"]),
        Choice(key="student.encoder", value=student.encoder, reason=why["student"]),
        Choice(key="student.weights", value=draft.student_weights),
        Choice(key="objective.method", value=draft.method, reason=why["objective"]),
    ]
    if teacher is not None:
        hidden = Choice(
            key="student.translator_hidden",
            value=student.translator_hidden,
            reason="follows the size of the student",
        )
        choices.insert(3, hidden)
    return choices


def _optimiser(draft: Draft, plan: Schedule, timing: Timing, hours: float) -> list[Choice]:
    student, steps = draft.student, counted(plan.steps, "step")
    rate = {
        "vit": "for a pretrained transformer, as published",
        "cnn": "for a pretrained CNN",
    }[student.kind]
    if draft.student_weights == "random":
        rate = "for random weights"
    why = (
        f"{steps} fit into {hours:g} h at {timing.step:.2g} s each"
        if plan.limited
        else f"{steps}: more bring little"
    )
    ema = ema_decay(plan.steps)
    return [
        Choice(key="optimiser.lr", value=student.lr, reason=rate),
        Choice(
            key="optimiser.multiplier", value=student.multiplier, reason="the head learns faster"
        ),
        Choice(key="optimiser.epochs", value=plan.epochs, reason=why),
        Choice(key="optimiser.batch", value=draft.batch, reason=draft.reasons["optimiser.batch"]),
        Choice(key="optimiser.ema", value=ema, reason="averages over about a tenth of the steps"),
    ]


def _evaluation(draft: Draft, plan: Schedule, data: Data) -> list[Choice]:
    side = window(draft, data)
    each = (
        f"about {counted(-(-plan.epochs // plan.every), 'validation')} on {counted(data.val, 'scene')}"
        if data.val
        else "no validation scenes"
    )
    return [
        Choice(key="evaluation.every", value=plan.every, reason=each),
        Choice(key="evaluation.inference.mode", value="slide", reason="scenes of any size"),
        Choice(key="evaluation.inference.window", value=side, reason="near the size of the crops"),
    ]


def _runtime(draft: Draft, machine: Machine) -> list[Choice]:
    workers = (
        min(_WORKERS, machine.cores - 1) if machine.device == "cuda" else min(1, machine.cores - 1)
    )
    return [
        Choice(key="runtime.device", value=machine.device, reason=machine.name),
        Choice(
            key="runtime.precision",
            value=draft.precision,
            reason=draft.reasons["runtime.precision"],
        ),
        Choice(
            key="runtime.workers",
            value=workers,
            reason=f"processes that render views; there are {counted(machine.cores, 'core')}",
        ),
    ]
