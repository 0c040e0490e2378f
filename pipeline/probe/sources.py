"""Features of the sampled views: tokens from the cache, or computed by a model and kept in a temporary file.

One model is loaded at a time, and features are read view by view, so memory does not grow with the number of views.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment
from pipeline.probe.values import FeatureKind, Origin
from pipeline.reporter import Reporter
from pipeline.token_store import find_tokens, view_tokens
from rsmtdf_core.arrays import Floats
from rsmtdf_core.codecs import Codec, declare_codec, fit_codec, make_codec
from rsmtdf_core.errors import StoreDamagedError, StoreError, StoreMismatchError
from rsmtdf_core.probing.cells import resize_area
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.student.model import Student
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import load_teacher
from rsmtdf_core.training.data import weak_view
from rsmtdf_core.training.standardise import TokenMap
from rsmtdf_core.views.render import ViewRenderer

_LARGEST_HALF = float(np.finfo(np.float16).max)


class Features(Protocol):
    """Features of each view."""

    def tokens(self, plan_row: int) -> Floats:
        """Return the features of a view, float32 [H, W, D]."""
        ...


@dataclass(frozen=True)
class Source:
    """The features of one model.

    Attributes:
        name: name of the features in tables.
        kind: whose features they are.
        features: the features of each view.
        channels: number of channels.
        random_weights: whether the model has random weights.
        origin: whether the features were read from the cache or computed now.
        seconds: time of the model per view; None if unknown.
        bytes: size of a record in the store; None for a student.
        last: number of channels of a student's last tap, which come last; 0 for a teacher.
        translated: a trained student's translations by teacher.
        targets: by teacher, the map from its tokens to the values that the student learned; empty for the tokens.
    """

    name: str
    kind: FeatureKind
    features: Features
    channels: int
    random_weights: bool
    origin: Origin = "computed"
    seconds: float | None = None
    bytes: float | None = None
    last: int = 0
    translated: Mapping[str, Features] = field(default_factory=dict)
    targets: Mapping[str, TokenMap] = field(default_factory=dict)


class Spool:
    """Records of views in a temporary file, which has no name and ends with the process.

    Args:
        codec: the codec of the records.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the spool
        self._ends = [0]

    def append(self, tokens: Floats) -> None:
        """Keep the features of the next view, [H, W, D]."""
        self._ends.append(self._ends[-1] + self._file.write(self.codec.encode(tokens).tobytes()))

    def tokens(self, plan_row: int) -> Floats:
        """Return the decoded features of a view, float32 [H, W, D]."""
        start, end = self._ends[plan_row : plan_row + 2]
        self._file.seek(start)
        record = np.frombuffer(self._file.read(end - start), np.uint8)
        stored = np.empty(self.codec.stored_shape, self.codec.dtype)
        self.codec.unpack(record, stored)
        return np.asarray(self.codec.decode(torch.from_numpy(stored)[None], "cpu")[0], np.float32)

    @property
    def record_bytes(self) -> float:
        """Mean size of a record."""
        return self._ends[-1] / max(1, len(self._ends) - 1)

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


@dataclass
class Computing:
    """Runs models over the sampled views.

    Attributes:
        experiment: the sampled views.
        device: the device of the models.
        stack: closes the temporary files.
        reporter: shows progress.
    """

    experiment: Experiment
    device: torch.device
    stack: ExitStack
    reporter: Reporter

    def __post_init__(self) -> None:
        self._renderer = ViewRenderer(SceneReader(self.experiment.dataset), self.experiment.plan)

    @property
    def views(self) -> int:
        """Number of sampled views."""
        return len(self.experiment.plan)

    @property
    def renderer(self) -> ViewRenderer:
        """Renders the sampled views."""
        return self._renderer

    def spool(self, codec: Codec) -> Spool:
        """Return a new spool."""
        spool = Spool(codec)
        self.stack.callback(spool.close)
        return spool

    def batches(self, label: str) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the sampled views in order with all bands, uint8 [n, S, S, bands], under a bar."""
        size = self.experiment.config.runtime.teacher_batch
        with self.reporter.bar(label, self.views) as bar:
            for start in range(0, self.views, size):
                rows = range(start, min(start + size, self.views))
                yield np.stack([self._renderer.taught_view(row) for row in rows])
                bar.advance(len(rows))


def teacher_source(computing: Computing, settings: TeacherSettings) -> Source:
    """Read a teacher's tokens from the cache, or else load the teacher and compute them.

    Tokens pass through the teacher's codec in both cases, so they are those that a training would read.

    Raises:
        TeacherError: If the teacher is needed and cannot be loaded.
        StoreMismatchError: If stores of different weights agree with the config, or a scene has changed.
    """
    store = _find(computing, settings)
    return _computed(computing, settings) if store is None else _cached(computing, settings, store)


def _find(computing: Computing, settings: TeacherSettings) -> FeatureStore | None:
    try:
        return find_tokens(computing.experiment, settings)
    except StoreMismatchError:
        raise
    except StoreDamagedError as damage:
        computing.reporter.warn(f"a store of {settings.name} is not used: {damage.what}")
    except StoreError:
        pass
    return None


def _cached(computing: Computing, settings: TeacherSettings, store: FeatureStore) -> Source:
    plan = computing.experiment.plan
    rows = store.require(plan)
    crops = store.group.crops(rows)
    for row in range(len(plan)):
        weak_view(computing.renderer, row, crops)  # checks that the pixels match the tokens
    reader = FeatureReader(store, rows, computing.experiment.config.runtime.check)
    commit = store.read_commit()
    return Source(
        name=settings.name,
        kind="teacher",
        features=reader,
        channels=store.shape.channels,
        random_weights=store.metadata.random_weights,
        origin="cache",
        seconds=commit.seconds / commit.views if commit and commit.views else None,
        bytes=store.codec.typical_bytes,
    )


def _computed(computing: Computing, settings: TeacherSettings) -> Source:
    crop = computing.experiment.config.views.crop
    teacher = load_teacher(settings, crop, str(computing.device))
    spool: Spool | None = None
    seconds = []
    for images in computing.batches(f"teacher {settings.name}"):
        began = time.perf_counter()
        tokens = view_tokens(teacher, images)
        seconds.append((time.perf_counter() - began) / len(images))
        if spool is None:
            declared = settings.declared_codec
            fitted = fit_codec(declared, tokens)
            spool = computing.spool(make_codec(declared, teacher.shape.record_shape, fitted))
        for record in tokens:
            spool.append(record)
    assert spool is not None, "a sample has views"
    return Source(
        name=settings.name,
        kind="teacher",
        features=spool,
        channels=teacher.shape.channels,
        random_weights=settings.weights == "random",
        seconds=statistics.median(seconds),
        bytes=spool.record_bytes,
    )


def initial_student(config: ExperimentConfig, settings: StudentSettings, bands: int) -> Student:
    """Build the student as training does, with the config's seed for random weights.

    Raises:
        ConfigError: If its weights are not on this machine, or it does not fit the crop.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        # The number of classes and the teachers do not affect the encoder.
        return Student(settings, 1, config.views.crop, (), bands=bands).eval()


def student_source(
    computing: Computing,
    student: Student,
    name: str,
    kind: FeatureKind,
    grid: tuple[int, int],
    *,
    random_weights: bool = False,
    targets: Mapping[str, TokenMap] | None = None,
) -> Source:
    """Compute the features that a student's head gets: all four taps of the encoder, on the grid.

    Args:
        computing: runs the student.
        student: the student, in eval mode.
        name: name of the features.
        kind: kind of the features.
        grid: rows and columns of the features.
        random_weights: whether the student has random weights.
        targets: by teacher, the map from its tokens to the values that the student learned.
    """
    student.to(computing.device)
    channels = sum(student.encoder.channels)
    spool = computing.spool(_half((*grid, channels)))
    shapes = {
        teacher: (*student.grids[teacher], _width(student, teacher)) for teacher in student.grids
    }
    translated = {teacher: computing.spool(_half(shape)) for teacher, shape in shapes.items()}
    seconds = []
    for images in computing.batches(name):
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(computing.device)
        with torch.inference_mode():
            began = time.perf_counter()
            normalised = student.normalise(tensor)
            taps = [resize_area(tap.float(), grid).cpu() for tap in student.encoder(normalised)]
            seconds.append((time.perf_counter() - began) / len(images))
            tokens = student(normalised).tokens if translated else {}
        _append(spool, torch.cat(taps, dim=1).permute(0, 2, 3, 1))
        for teacher, tokens_BHWD in tokens.items():
            _append(translated[teacher], tokens_BHWD.float().cpu())
    return Source(
        name=name,
        kind=kind,
        features=spool,
        channels=channels,
        random_weights=random_weights,
        seconds=statistics.median(seconds),
        last=student.encoder.channels[-1],
        translated=translated,
        targets=targets or {},
    )


def learned_targets(tensors: Mapping[str, Tensor]) -> dict[str, TokenMap]:
    """Return the maps, by teacher, among the tensors of a method in a checkpoint (`CachedTargets.state`)."""
    offsets = {
        name.removeprefix("targets.").removesuffix(".offset"): tensor
        for name, tensor in tensors.items()
        if name.startswith("targets.") and name.endswith(".offset")
    }
    return {
        teacher: TokenMap(offset, tensors.get(f"targets.{teacher}.matrix"))
        for teacher, offset in offsets.items()
    }


def _width(student: Student, teacher: str) -> int:
    return int(student.translators[teacher].layers[-1].out_features)  # type: ignore[union-attr, index] # nn.ModuleDict hides the type


def _half(shape: tuple[int, int, int]) -> Codec:
    return make_codec(declare_codec("fp16"), shape, {})


def _append(spool: Spool, features_BHWD: Tensor) -> None:
    # Features of random weights may be beyond half precision.
    for record in features_BHWD.clamp(-_LARGEST_HALF, _LARGEST_HALF).numpy():
        spool.append(np.ascontiguousarray(record))
