"""Choose student, method, teacher, crop and batch for data, machine and weights: pure functions."""

from collections.abc import Mapping
from dataclasses import replace

from pipeline.start.values import (
    Data,
    Draft,
    Machine,
    Method,
    Precision,
    StudentKind,
    TeacherKind,
)
from rsmtdf_core.words import bytes_text, counted

GIB = 2**30
MEMORY_SHARE = 0.6
"""Share of the free memory that a step may take: estimates are rough, and other programs need some."""
LEAST_CROP = 64
"""Minimum side of a crop, px; smaller scenes are padded."""
BATCHES = (8, 4, 2)
LARGEST_CROP = {"cpu": 224, "cuda": 512}
"""Largest crop by device, px. On a CPU a step of a larger one takes seconds."""
BF16_SHARE = 0.65
"""Memory of a step in bf16 relative to fp32; weights and some activations stay in fp32."""
_TRAINER_BYTES = 1.2 * GIB
_PARAMETER_BYTES = 20  # fp32: weights, EMA model, gradient and two moments
# Memory of a step with translators and a second encoding relative to one without.
_TRANSLATION = 1.3

# Bytes by pixel: the peak of a forward and a backward pass with the head on a CPU, with some room.
VIT_SMALL = StudentKind(
    encoder="vit_small_patch14_dinov2.lvd142m",
    files=("dinov2_vits14", "vit_small_patch14_dinov2"),
    kind="vit",
    unit=14,
    parameters=25,
    step_bytes=3200,
    lr=5e-6,
    multiplier=40,
    translator_hidden=1024,
)
LITE0 = StudentKind(
    encoder="tf_efficientnet_lite0",
    files=("tf_efficientnet_lite0",),
    kind="cnn",
    unit=32,
    parameters=5,
    step_bytes=2500,
    lr=5e-4,
    multiplier=5,
    translator_hidden=512,
)
RANDOM = StudentKind(
    encoder="resnet10t",
    files=(),
    kind="cnn",
    unit=32,
    parameters=7,
    step_bytes=1300,
    lr=1e-3,
    multiplier=1,
    translator_hidden=512,
)
STUDENTS = (VIT_SMALL, LITE0)
DINO_BASE = TeacherKind(
    "dino",
    "vit_base_patch14_dinov2.lvd142m",
    ("dinov2_vitb14", "vit_base_patch14_dinov2"),
    14,
    768,
)
DINO_SMALL = TeacherKind(
    "dino",
    "vit_small_patch14_dinov2.lvd142m",
    ("dinov2_vits14", "vit_small_patch14_dinov2"),
    14,
    384,
)
TEACHERS = (DINO_BASE, DINO_SMALL)


def choose(data: Data, machine: Machine, weights: Mapping[str, str]) -> Draft:
    """Choose everything that does not depend on time.

    Args:
        data: the scenes.
        machine: the machine.
        weights: by model, `weights` of the config for the models whose weights can be had.
    """
    student, why_student = _student(machine, weights)
    teacher, why_teacher = _teacher(machine, weights, student, data)
    method, why_method = _method(data, teacher)
    precision: Precision = "bf16" if machine.device == "cuda" and machine.bf16 else "fp32"
    draft = Draft(
        student=student,
        student_weights=weights.get(student.encoder, "random"),
        crop=student.unit,
        batch=2,
        method=method,
        teacher=teacher if method == "rs-mtdf" else None,
        teacher_weights="" if teacher is None else weights[teacher.model],
        teacher_input=0,
        precision=precision,
        reasons={
            "student": why_student,
            "teachers": why_teacher,
            "objective": why_method,
            "runtime.precision": "half the memory, and faster on this GPU"
            if precision == "bf16"
            else "bf16 is slow on this device",
        },
    )
    return fitted(draft, data, machine)


def fitted(draft: Draft, data: Data, machine: Machine, largest: int | None = None) -> Draft:
    """Return the draft with the largest crop, and the largest batch for it, that fit scenes and memory.

    A batch below 4 makes pseudo-labels and batch norms noisy, so a smaller crop is preferred to it.

    Args:
        draft: the draft.
        data: the scenes.
        machine: the machine.
        largest: largest crop, px; None takes that of the device.
    """
    limit = largest or LARGEST_CROP[machine.device]
    crops = crop_sizes(draft.student, min(limit, max(data.side, LEAST_CROP)))
    most = largest_batch(data, draft.method)
    batches = [batch for batch in BATCHES if batch <= most] or [2]
    room = MEMORY_SHARE * machine.memory
    tries = [
        *((crop, batch) for crop in crops for batch in batches if batch >= min(4, batches[0])),
        *((crop, batch) for crop in crops for batch in batches),
    ]
    sized = [replace(draft, crop=crop, batch=batch) for crop, batch in tries]
    best = next((size for size in sized if step_memory(size) <= room), None)
    if best is None:
        best = replace(draft, crop=crops[-1], batch=batches[-1])
    need = f"a step takes about {bytes_text(step_memory(best))} of {bytes_text(machine.memory)}"
    limits = "the time" if largest else "this device"
    if best.crop < crops[0]:
        limits = "the memory"
    elif best.crop + best.student.unit > data.side:
        limits = "the scenes' shorter side"
    reasons = {
        "views.crop": f"px; as large as {limits} allows, a multiple of {best.student.unit}; scenes are {data.side} px",
        "optimiser.batch": f"{need}; there are {counted(data.labeled, 'labeled scene')}",
    }
    teacher = best.teacher
    side = 0 if teacher is None else max(1, min(best.crop, 518) // teacher.patch) * teacher.patch
    return replace(best, teacher_input=side, reasons=draft.reasons | reasons)


def smaller(draft: Draft, data: Data, machine: Machine) -> Draft | None:
    """Return a draft whose steps take less time, or None if there is none: a smaller crop, then no teacher."""
    crops = crop_sizes(draft.student, draft.crop)
    useful = [crop for crop in crops[1:] if crop >= 2 * LEAST_CROP and crop <= 0.8 * draft.crop]
    if useful:
        return fitted(draft, data, machine, useful[0])
    return None


def without_teacher(draft: Draft, data: Data, machine: Machine, reason: str) -> Draft:
    """Return the draft for the same data without a teacher.

    Args:
        draft: a draft with a teacher.
        data: the scenes.
        machine: the machine.
        reason: why there is none.
    """
    method, why = _method(data, None)
    reasons = draft.reasons | {"teachers": reason, "objective": why}
    plain = replace(draft, teacher=None, teacher_weights="", method=method, reasons=reasons)
    return fitted(plain, data, machine)


def supervised(draft: Draft, reason: str) -> Draft:
    """Return the draft with the method supervised."""
    reasons = draft.reasons | {"objective": reason, "teachers": "supervised uses none"}
    return replace(
        draft,
        method="supervised",
        teacher=None,
        teacher_weights="",
        teacher_input=0,
        reasons=reasons,
    )


def crop_sizes(student: StudentKind, largest: int) -> list[int]:
    """Return the crops of a student in px, the largest first: its multiples up to `largest`, and at least one."""
    least = -(-LEAST_CROP // student.unit)
    most = max(least, largest // student.unit)
    return [units * student.unit for units in range(most, least - 1, -1)]


def largest_batch(data: Data, method: Method) -> int:
    """Return the largest batch that the scenes fill: unlabeled crops come in pairs, and labeled ones repeat."""
    scenes = data.labeled if method == "supervised" else data.unlabeled
    return max(2, 2 * (scenes // 2))


def step_memory(draft: Draft) -> int:
    """Estimate the memory of a training step in bytes."""
    share = BF16_SHARE if draft.precision == "bf16" else 1.0
    by_pixel = draft.student.step_bytes * share * (_TRANSLATION if draft.teacher else 1.0)
    fixed = _TRAINER_BYTES + _PARAMETER_BYTES * 1e6 * draft.student.parameters
    return round(fixed + by_pixel * draft.step_crops * draft.crop**2)


def _student(machine: Machine, weights: Mapping[str, str]) -> tuple[StudentKind, str]:
    transformer = VIT_SMALL.encoder in weights
    if machine.device == "cuda" and transformer:
        return VIT_SMALL, "a GPU trains the published student, pretrained by DINOv2"
    if LITE0.encoder in weights:
        why = "quick on a CPU" if machine.device == "cpu" else "no weights of DINOv2-S can be had"
        return LITE0, f"pretrained on ImageNet; {why}"
    if transformer:
        return (
            VIT_SMALL,
            "pretrained by DINOv2; slow on a CPU, but no smaller pretrained student can be had",
        )
    return RANDOM, "no pretrained weights can be had: small enough to learn from random weights"


def _teacher(
    machine: Machine, weights: Mapping[str, str], student: StudentKind, data: Data
) -> tuple[TeacherKind | None, str]:
    if data.unlabeled < 2:
        return None, "none: there are no images without masks to learn from"
    for teacher in TEACHERS:
        if teacher.model not in weights or teacher.model == student.encoder:
            continue
        if teacher is DINO_BASE and machine.device == "cpu" and DINO_SMALL.model in weights:
            continue
        return teacher, f"its weights can be had, and {machine.name} has time for it"
    return None, "none: no weights of a teacher other than the student can be had"


def _method(data: Data, teacher: TeacherKind | None) -> tuple[Method, str]:
    unlabeled = counted(data.unlabeled, "image")
    if data.unlabeled < 2:
        return "supervised", f"{unlabeled} without masks: too few to learn from"
    if teacher is None:
        return "fixmatch", f"learns from {unlabeled} without masks, by pseudo-labels"
    return "rs-mtdf", f"learns from {unlabeled} without masks, and from the teacher"
