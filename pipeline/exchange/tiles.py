"""Exports the student for programs that predict maps tile by tile, and measures the loss of the export."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from pipeline.exchange.pair import (
    exportable,
    facts_path,
    origin,
    pair_folder,
    require_free,
    require_packages,
    tracing,
    write_facts,
)
from pipeline.exchange.programs import PROGRAMS, Program, ProgramName, Ranges, metadata, tile_ranges
from pipeline.exchange.samples import Samples, sample_windows
from pipeline.exchange.tile_model import (
    INPUT,
    OPSET,
    OUTPUT,
    Precision,
    read_tile_model,
    write_tile_model,
)
from pipeline.reporter import Reporter, Silent
from pipeline.trained import TrainedRun, load_run
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.evaluation.averaging import Network
from rsmtdf_core.evaluation.inference import nearest_multiple
from rsmtdf_core.runs.best import Choice
from rsmtdf_core.settings import Settings
from rsmtdf_core.student.portable import TileStudent
from rsmtdf_core.student.settings import ModelName

TOLERANCE = 1e-4
"""Largest difference of two probabilities between a file in fp32 and the run's model."""

WORTH_A_WARNING = 0.98
"""Share of pixels with an unchanged class below which a file is reported with a caution."""


class TileSettings(Settings):
    """Choices of an export for a program.

    Attributes:
        program: the program that reads the file.
        precision: type of weights and activations in the file.
        resolution: size of a pixel in the images that the student was trained on, cm; None takes it from the
            georeference of the run's scenes.
        tile: side of a tile, px; None uses the window of the run's config, or its crop.
    """

    program: ProgramName
    precision: Precision = "fp32"
    resolution: Annotated[float, Field(ge=0.001, le=1e7)] | None = None
    tile: Annotated[int, Field(ge=1, le=16_384)] | None = None


class TileLoss(Settings):
    """The difference between the probabilities of a file and of the run's model in fp32.

    Attributes:
        windows: number of windows that were compared.
        origin: a phrase that describes them.
        agreement: share of pixels with the same class.
        difference: largest difference of two probabilities.
        mean_difference: mean of the absolute differences.
    """

    windows: int
    origin: str
    agreement: float
    difference: float
    mean_difference: float


class TileReport(Settings):
    """The files of an export for a program.

    Attributes:
        file: the ONNX model.
        facts: the JSON file that describes it.
        program: title of the program.
        opset: version of the ONNX operators.
        input, output: shapes [1, bands, T, T] and [1, classes, T, T].
        resolution: size of a pixel, cm.
        overlap: percent of a tile that the next one also covers.
        loss: the measured difference.
        cautions: warnings about the validity of its predictions.
    """

    file: Path
    facts: Path
    program: str
    opset: int
    input: tuple[int, int, int, int]
    output: tuple[int, int, int, int]
    resolution: float
    overlap: int
    loss: TileLoss
    cautions: tuple[str, ...]


def export_tiles(
    run: Path,
    out: Path,
    settings: TileSettings,
    *,
    weights: ModelName | None = None,
    root: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    checkpoint: Choice | None = None,
) -> TileReport:
    """Write a run's best model into the folder `out` for a program, and compare it with the run's model.

    Args:
        run: the run's folder.
        out: folder for `student-<program>.onnx`, with `-<precision>` unless that is fp32, and its `.json`.
        settings: the program and its choices.
        weights: the EMA model or the student; None uses the model validated during training.
        root: the data root, for the sample windows; None uses the root in the run's config.
        overwrite: replace existing files.
        reporter: shows progress.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; None uses the best.

    Raises:
        ConfigError: If packages are missing, or the program cannot run the student on the run's images.
        DataError, MissingFileError: If the scenes in `root` cannot be read.
        RunError: If files exist already, or the probabilities of the written model differ too much in fp32 or are not
            finite. Such a model is deleted.
        WriteError: If a file cannot be written.
    """
    reporter = reporter or Silent()
    program = PROGRAMS[settings.program]
    require_packages(f"--for {program.name}")
    precision = "" if settings.precision == "fp32" else f"-{settings.precision}"
    file = out / f"student-{program.name}{precision}.onnx"
    require_free(file, overwrite=overwrite)
    with reporter.status("loading the run"):
        trained = load_run(run, weights, checkpoint=checkpoint)
    student = exportable(trained).cpu()
    side = _tile(trained, settings)
    samples = sample_windows(trained, root, side)
    resolution = _resolution(trained, settings, samples)
    ranges = tile_ranges(program, student.bands, trained.manifest.bands, samples.dtype)
    model = TileStudent(student, ranges, half=settings.precision == "fp16").eval()
    overlap = trained.config.evaluation.inference.overlap
    names = trained.manifest.class_names
    texts = metadata(names, tile=side, overlap=overlap, resolution=resolution)
    shapes = (1, student.bands, side, side), (1, len(names), side, side)
    with pair_folder(file) as folder:
        written = folder / file.name
        remedy = "export the weights with --format safetensors"
        with reporter.status(f"writing {file}"), tracing(trained, remedy):
            write_tile_model(model, side, written, settings.precision, texts)
        with (
            reporter.status("comparing its probabilities with the run's model"),
            tracing(trained, remedy),
        ):
            loss = _compare(trained, read_tile_model(written), samples, ranges, settings.precision)
        facts = _facts(shapes, ranges, texts, loss, settings)
        write_facts(written, {**origin(trained), **facts})
    return TileReport(
        file=file,
        facts=facts_path(file),
        program=program.title,
        opset=OPSET,
        input=shapes[0],
        output=shapes[1],
        resolution=resolution,
        overlap=round(100 * overlap),
        loss=loss,
        cautions=(*trained.cautions, *_cautions(trained, program, loss, settings)),
    )


def _tile(trained: TrainedRun, settings: TileSettings) -> int:
    """Return the side of a tile, px.

    Raises:
        ConfigError: If the student does not take tiles of the requested side.
    """
    inference, crop = trained.config.evaluation.inference, trained.config.views.crop
    patch = trained.student.patch
    if settings.tile is None:
        return nearest_multiple(inference.window if inference.mode == "slide" else crop, patch)
    nearest = nearest_multiple(settings.tile, patch)
    if settings.tile != nearest:
        raise ConfigError(
            f"the side of a tile must be a multiple of the model's patch size of {patch} px, found {settings.tile}",
            where="--tile",
            remedy=f"--tile {nearest}",
        )
    return settings.tile


def _resolution(trained: TrainedRun, settings: TileSettings, samples: Samples) -> float:
    """Return the size of a pixel, cm.

    Raises:
        ConfigError: If it is neither given nor known from the scenes.
    """
    resolution = settings.resolution or samples.resolution
    if resolution is None:
        raise ConfigError(
            f"the program resamples maps to the pixels of the training images, whose size is unknown: {samples.origin} "
            "have no georeference",
            where=trained.folder.path,
            remedy="give the size in centimeters, for example --resolution 30",
        )
    return resolution


def _facts(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    ranges: Ranges,
    texts: dict[str, str],
    loss: TileLoss,
    settings: TileSettings,
) -> dict[str, Any]:
    """Describe the file for its users; `origin` has the rest."""
    return {
        "program": settings.program,
        "precision": settings.precision,
        "opset": OPSET,
        "input": {"name": INPUT, "type": "float32", "shape": shapes[0], "black_and_white": ranges},
        "output": {"name": OUTPUT, "type": "float32", "shape": shapes[1]},
        "metadata": texts,
        "loss": loss.model_dump(mode="json"),
    }


@torch.inference_mode()
def _compare(
    trained: TrainedRun, run: Network, samples: Samples, ranges: Ranges, precision: Precision
) -> TileLoss:
    """Compare the probabilities of the file with those of the run's model.

    Raises:
        RunError: If the file's are not finite, or in fp32 differ by more than `TOLERANCE`.
    """
    low, high = torch.tensor(ranges, dtype=torch.float64).T.reshape(2, 1, -1, 1, 1)
    same = pixels = 0
    largest, total = 0.0, 0.0
    for window, (height, width) in zip(samples.windows[:, None], samples.sizes, strict=True):
        expected = trained.student.logits(trained.student.normalise(window)).float().softmax(dim=1)
        tile = (window.double() / 255 * (high - low) + low).float()
        computed, expected = (maps[..., :height, :width] for maps in (run(tile), expected))
        _require_finite(trained, computed, precision)
        apart = (computed - expected).abs()
        same += int((computed.argmax(dim=1) == expected.argmax(dim=1)).sum())
        pixels += height * width
        largest, total = (
            max(largest, float(apart.max())),
            total + float(apart.double().mean(1).sum()),
        )
    loss = TileLoss(
        windows=len(samples.windows),
        origin=samples.origin,
        agreement=same / pixels,
        difference=largest,
        mean_difference=total / pixels,
    )
    if precision == "fp32" and largest > TOLERANCE:
        raise RunError(
            f"the exported model differs from the run's model by {largest:.1e} in a probability, more than "
            f"{TOLERANCE:.0e}; it was deleted",
            where=trained.folder.path,
            remedy="export with --format pt2 or safetensors instead",
        )
    return loss


def _require_finite(trained: TrainedRun, computed: torch.Tensor, precision: Precision) -> None:
    if not torch.isfinite(computed).all():
        raise RunError(
            f"the exported model's output in {precision} is not finite; it was deleted",
            where=trained.folder.path,
            remedy="export with --precision fp32",
        )


def _cautions(
    trained: TrainedRun, program: Program, loss: TileLoss, settings: TileSettings
) -> list[str]:
    sentences = []
    bands = trained.manifest.bands
    if bands is not None and bands.indices != tuple(range(1, len(bands.indices) + 1)):
        listed = ", ".join(map(str, bands.indices))
        sentences.append(
            f"the model's inputs are the bands {listed} of the run's images, in this order: choose them in "
            f"{program.title}, or give it rasters with only these bands"
        )
    if loss.agreement < WORTH_A_WARNING:
        sentences.append(
            f"{settings.precision} changes the class of {1 - loss.agreement:.1%} of the pixels in {loss.origin}: "
            "prefer --precision fp16 or fp32"
        )
    if loss.origin.endswith("random pixels"):
        sentences.append(
            "the loss was measured on random pixels, as the run's scenes are not in "
            f"{trained.config.data.root}; name their folder with --root"
        )
    return sentences
