"""Run each part of an experiment for a few seconds on this machine."""

import statistics
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.plan import Experiment
from pipeline.train.features import Features
from pipeline.train.setup import make_training
from rsmtdf_core.arrays import Floats
from rsmtdf_core.codecs import fit_codec, make_codec
from rsmtdf_core.codecs.base import Codec, Declared, Packed
from rsmtdf_core.errors import StoreError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import declared_shape, load_teacher
from rsmtdf_core.teachers.weights import locate_weights
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.targets import GetTargets, Targets
from rsmtdf_core.views.render import ViewRenderer, crop_crc

# Each part runs once to warm up, then RUNS times or for BUDGET_SECONDS, whichever ends first.
RUNS = 5
BUDGET_SECONDS = 6.0
# Number of views whose tokens are packed: half to fit a codec, half to measure it.
SAMPLE = 16

WeightsOrigin = Literal["own", "random", "absent"]


@dataclass(frozen=True)
class TeacherTiming:
    """A teacher's times, and its tokens for measuring codecs.

    Attributes:
        weights: as `TeacherMeasured.weights`.
        seconds: forward pass of one view.
        copy_seconds: copying one view's tokens to the host.
        tokens: float32 [n, H, W, D].
    """

    weights: WeightsOrigin
    seconds: float
    copy_seconds: float
    tokens: Floats


@dataclass(frozen=True)
class CodecTiming:
    """The size and times of a codec on a teacher's tokens.

    Attributes:
        codec: the fitted codec.
        bytes: mean size of a record.
        encode_seconds: packing one view.
        unpack_seconds: from bytes to stored numbers, one view.
        decode_seconds: from stored numbers to tokens on the device, one view.
    """

    codec: Codec
    bytes: float
    encode_seconds: float
    unpack_seconds: float
    decode_seconds: float


def rendered_views(experiment: Experiment, count: int) -> tuple[Tensor, float]:
    """Render views of the plan for the teachers, uint8 [n, bands, S, S], with the median seconds per view."""
    renderer = ViewRenderer(SceneReader(experiment.dataset), experiment.plan)
    rows = np.linspace(0, len(experiment.plan) - 1, min(count, len(experiment.plan)))
    images, seconds = [], []
    for row in rows.astype(int).tolist():
        began = time.perf_counter()
        images.append(renderer.taught_view(row))
        # Extraction also computes the checksum of every crop.
        crop_crc(renderer.weak(row))
        seconds.append(time.perf_counter() - began)
    views = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return views, statistics.median(seconds)


def run_teacher(
    settings: TeacherSettings, views: Tensor, batch: int, device: torch.device
) -> TeacherTiming:
    """Run a teacher on views, uint8 [n, bands, S, S]; without its weights, use random ones.

    Raises:
        TeacherError: If the model cannot be built.
    """
    weights: WeightsOrigin = "random"
    if settings.weights != "random":
        # Only stage one downloads.
        weights = "own" if locate_weights(settings) else "absent"
    if weights == "absent":
        settings = settings.model_copy(update={"weights": "random", "weights_sha256": None})
    teacher = load_teacher(settings, views.shape[-1], str(device))
    # A teacher that needs minutes per batch is measured on fewer views.
    alone = _median(lambda _: teacher.tokens(views[:1]).cpu(), 2)
    batch = min(batch, max(2, int(2 * BUDGET_SECONDS / alone)))
    starts = range(0, len(views), batch)
    parts = [views[torch.arange(start, start + batch) % len(views)] for start in starts]
    kept: list[Floats] = []
    copies: list[float] = []

    def forward(number: int) -> None:
        tokens = teacher.tokens(parts[number % len(parts)])
        _settle(device)
        began = time.perf_counter()
        host = tokens.cpu().numpy()
        copies.append(time.perf_counter() - began)
        if number < len(parts):
            kept.append(host)

    seconds = _median(forward) / batch
    copy = statistics.median(copies[1:] or copies) / batch
    tokens = np.concatenate(kept)[:SAMPLE]
    return TeacherTiming(weights, max(seconds - copy, 1e-9), copy, tokens)


def run_codec(declared: Declared, tokens: Floats, device: torch.device) -> CodecTiming:
    """Fit a codec on half of the tokens and measure it on the others.

    If these differ too much, because the experiment has few views, it is fitted on and measured on all.

    Raises:
        StoreError: If the tokens are not finite, or the codec cannot reach its quality.
    """
    half = max(1, len(tokens) // 2)
    others = tokens[half:] if len(tokens) > half else tokens
    try:
        codec, packed, encode = _packed(declared, tokens[:half], others)
    except StoreError:
        others = tokens
        codec, packed, encode = _packed(declared, tokens, others)
    numbers = np.empty((len(others), *codec.stored_shape), codec.dtype)

    def unpack(_: int) -> None:
        for record, out in zip(packed, numbers, strict=True):
            codec.unpack(record, out)

    def decode(_: int) -> None:
        codec.decode(torch.from_numpy(numbers), device)
        _settle(device)

    size = codec.record_bytes or statistics.fmean(len(record) for record in packed)
    unpacking, decoding = _median(unpack) / len(others), _median(decode) / len(others)
    return CodecTiming(codec, size, encode, unpacking, decoding)


def _packed(
    declared: Declared, sample: Floats, tokens: Floats
) -> tuple[Codec, list[Packed], float]:
    """Fit a codec on a sample and pack tokens; return the codec, the records and the seconds per record."""
    shape = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
    codec = make_codec(declared, shape, fit_codec(declared, sample))
    began = time.perf_counter()
    packed = [codec.encode(record) for record in tokens]
    return codec, packed, (time.perf_counter() - began) / len(tokens)


class _RandomTargets:
    """Replacement for the cache: the same random tokens of unit spread at every step, without reading."""

    def __init__(self, shapes: tuple[TokenShape, ...], device: torch.device) -> None:
        self._shapes = shapes
        self._device = device
        self._tokens: dict[str, Tensor] = {}

    @contextmanager
    def opened(self, schedule: BatchSchedule, start: int, stop: int) -> Iterator[GetTargets]:
        """Yield a function that returns tokens for as many samples as images."""
        del schedule, start, stop
        yield lambda _rows, images: self._targets(images)

    def _targets(self, images: Tensor) -> Targets:
        if not self._tokens:
            for shape in self._shapes:
                size = (len(images), *shape.record_shape)
                self._tokens[shape.teacher] = torch.randn(size, device=self._device)
        spreads = {
            shape.teacher: torch.ones(shape.channels, device=self._device) for shape in self._shapes
        }
        return Targets(self._tokens, None, spreads)


def step_seconds(experiment: Experiment, accelerator: Accelerator) -> float:
    """Return the median seconds of the student's training step with rendering; no run is written."""
    config = experiment.config
    shapes = tuple(declared_shape(teacher, config.views.crop) for teacher in config.distilled)
    # The time does not depend on the weights, and those of the hub may not be on this machine.
    student = config.student.model_copy(update={"weights": "random"})
    experiment = replace(experiment, config=config.model_copy(update={"student": student}))
    targets = _RandomTargets(shapes, accelerator.device)
    training = make_training(experiment, Features(shapes, targets), accelerator)
    with closing(_settled_steps(training.steps(), accelerator.device)) as steps:
        return _median(lambda _: next(steps), training.total_steps)


def _settled_steps(steps: Iterator[object], device: torch.device) -> Generator[None, None, None]:
    for _ in steps:
        _settle(device)
        yield


def _settle(device: torch.device) -> None:
    """Wait until the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _median(run: Callable[[int], object], at_most: int = RUNS + 1) -> float:
    """Return the median seconds of a few runs after a warm-up run.

    `run` is called with 0, 1, 2 and so on. If the warm-up alone takes very long, its time is returned.
    """
    began = time.perf_counter()
    run(0)
    warm = time.perf_counter()
    if at_most == 1 or warm - began > 3 * BUDGET_SECONDS:
        return warm - began
    seconds: list[float] = []
    for number in range(1, min(RUNS + 1, at_most)):
        last = time.perf_counter()
        if seconds and last - warm >= BUDGET_SECONDS:
            break
        run(number)
        seconds.append(time.perf_counter() - last)
    return statistics.median(seconds)
