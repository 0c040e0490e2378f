"""Sections of a config outside `rsmtdf_core`: data, evaluation and runtime (tests: test_config.py)."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.roles import ConfigSettings, Place, Result, Speed
from rsmtdf_core.scenes.labeled import Labeled
from rsmtdf_core.settings import LONGEST_PATH, MOST_COUNT, UserPath

WholePath = Annotated[UserPath, AfterValidator(Path.absolute)]


class DataSettings(ConfigSettings):
    """The dataset and its labeled scenes.

    Attributes:
        manifest: name of a packaged manifest, or path of a manifest.
        root: the folder that the manifest's paths are relative to. Runs store the absolute path, so that they can be
            evaluated from any folder.
        labeled: the training scenes whose masks are used: a share of them, such as 1/8, or those of some images, such
            as {images: [a, b]} or {where: {area: [north]}, share: 1/4}; has no effect if the manifest lists its labeled
            scenes.
        fold: the fold of the manifest's splits, from 0, for cross-validation; None takes the splits as written.
        labeled_seed: seed of the draw of labeled scenes; a larger share includes the scenes of a smaller share.
    """

    manifest: Place[str] = Field(max_length=LONGEST_PATH)
    root: Place[WholePath]
    fold: Result[int | None] = Field(
        default=None, ge=0, lt=1000, exclude_if=lambda fold: fold is None
    )
    labeled: Result[Labeled] = 0.125
    labeled_seed: Result[int] = Field(default=0, ge=-(2**62), le=2**62)


class EvaluationSettings(ConfigSettings):
    """Validation and scoring of a run.

    Attributes:
        weights: the model that is validated, selected as best and scored.
        every: number of epochs between validations.
        patience: number of validations without improvement after which training stops; None disables early stopping.
        inference: prediction of whole scenes.
    """

    weights: Result[Literal["ema", "student"]] = "ema"
    every: Result[int] = Field(default=1, ge=1, le=MOST_COUNT)
    patience: Result[int | None] = Field(default=None, ge=1, le=MOST_COUNT)
    inference: InferenceSettings = InferenceSettings()


class RuntimeSettings(ConfigSettings):
    """Device, paths, speed and memory. Only `precision` affects the results, by rounding.

    Attributes:
        device: auto uses a GPU if available.
        precision: precision of the training step.
        accumulate: number of parts in which the batch of a step is computed, one after the other. The losses are the
            same, with less memory.
        activation_checkpointing: recompute the encoder's activations in the backward pass: less memory, a third more
            time.
        compile: compile the student with torch.compile: takes minutes at the start, and makes steps faster.
        workers: number of processes that render views ahead of the training step; 0 renders in the loop.
        cache: folder of the feature stores, shared by experiments; by default RSMTDF_CACHE, or rsmtdf in the user's
            cache folder.
        runs: folder of the runs.
        cache_pixels: also cache the rendered views and masks, so that training does not decode or augment images; takes
            6 bytes per pixel of a view.
        check: when the checksum of a cached record is verified: at each use, at the first use in a process, or never.
        read_threads: number of threads that read and decompress cached records ahead of the training step.
        extract_workers: number of extraction processes on this machine; by default one per GPU, or one per two cores.
        teacher_batch: number of views in a teacher's forward pass.
        shard_mebibytes: maximum size of a shard in MiB, fixed at the creation of a store.
        log_every: number of steps between lines of metrics.jsonl.
        checkpoint_every: number of steps between checkpoints; None saves checkpoints only before validations.
        keep_checkpoints: number of latest checkpoints to keep, in addition to the best.
        keep_best: number of best checkpoints to keep.
        trackers: services that receive the metrics, in addition to metrics.jsonl and TensorBoard.
    """

    device: Speed[Literal["auto", "cpu", "cuda"]] = "auto"
    precision: Result[Literal["fp32", "bf16", "fp16"]] = "fp32"
    accumulate: Speed[int] = Field(default=1, ge=1, le=65_536)
    activation_checkpointing: Speed[bool] = False
    compile: Speed[bool] = False
    workers: Speed[int] = Field(default=1, ge=0, le=1024)
    cache: Place[UserPath | None] = None
    runs: Place[UserPath] = Path("runs")
    cache_pixels: Speed[bool] = False
    check: Speed[Literal["always", "first", "never"]] = "first"
    read_threads: Speed[int] = Field(default=1, ge=1, le=1024)
    extract_workers: Speed[int | None] = Field(default=None, ge=1, le=1024)
    teacher_batch: Speed[int] = Field(default=8, ge=1, le=65_536)
    shard_mebibytes: Speed[int] = Field(default=256, ge=1, le=2**20)
    log_every: Speed[int] = Field(default=10, ge=1, le=MOST_COUNT)
    checkpoint_every: Speed[int | None] = Field(default=None, ge=1, le=MOST_COUNT)
    keep_checkpoints: Speed[int] = Field(default=2, ge=1, le=MOST_COUNT)
    keep_best: Speed[int] = Field(default=1, ge=1, le=MOST_COUNT)
    trackers: Place[tuple[Literal["wandb", "mlflow"], ...]] = ()

    @property
    def cache_folder(self) -> Path:
        """Folder of the cache: the setting, else RSMTDF_CACHE, else rsmtdf in the user's cache folder."""
        if self.cache is not None:
            return self.cache
        if folder := os.environ.get("RSMTDF_CACHE"):
            return Path(folder).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "rsmtdf"
