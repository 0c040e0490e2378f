"""The speed of a map: `rsmtdf predict`, a plain loop over windows in PyTorch, and the model alone.

    python tests/benchmarks/bench_predict.py

All predict the same windows of a raster in the same batches, in turns. The plain loop reads the raster, adds up the
logits of overlapping windows in memory, and writes the map as a compressed GeoTIFF; it does not bound memory, resume,
or draw a panel. The model alone predicts windows that are in memory. The student is that of bench_map.py.
"""

import argparse
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from bench_map import make_raster, make_run
from timing import Line, alternate, table
from torch import Tensor

from pipeline.predict import PredictSettings, predict
from pipeline.trained import TrainedRun, load_run, map_inference
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import blend_weights, window_starts

Start = tuple[int, int]
"""Top and left of a window, px."""


def main() -> None:
    """Measure and print a Markdown table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--side", type=int, default=1536, help="of the raster, px")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(Path(folder), given.side, given.rounds)
    sys.stdout.write(table(lines))


def measure(folder: Path, side: int, rounds: int) -> list[Line]:
    """Ratios of speeds, and speeds in megapixels of the map per second."""
    run = make_run(folder)
    raster = make_raster(folder / f"{side}.tif", side, side)
    trained = load_run(run)
    inference = map_inference(trained)
    batches = [*batches_of(read(raster, trained), inference)]
    settings, out = PredictSettings(overwrite=True), folder / "maps"
    computed: dict[str, list[float]] = {}
    contestants = {
        "predict": lambda: predict(run, [raster], out, settings),
        "plain": lambda: plain_map(run, raster, folder / "plain.tif"),
        "model": lambda: deque(predictions(trained, batches), maxlen=0),
    }
    for contestant in contestants.values():
        contestant()
    require_same(out / raster.name, folder / "plain.tif")
    seconds = alternate(
        {
            name: partial(counted, each, computed.setdefault(name, []))
            for name, each in contestants.items()
        },
        rounds,
    )
    processor = {name: float(np.median(each)) for name, each in computed.items()}
    megapixels = side * side / 1e6
    return [
        ("speed, predict / plain loop over windows", seconds["plain"] / seconds["predict"], ">=1"),
        ("the same in processor time", processor["plain"] / processor["predict"], ""),
        ("speed, predict / model alone", seconds["model"] / seconds["predict"], ""),
        ("the same in processor time", processor["model"] / processor["predict"], ""),
        ("predict, Mpx/s", megapixels / seconds["predict"], ""),
        ("plain loop over windows, Mpx/s", megapixels / seconds["plain"], ""),
        ("model alone, Mpx/s", megapixels / seconds["model"], ""),
    ]


def counted(contestant: Callable[[], object], computed: list[float]) -> None:
    """Call and note the processor time of all threads."""
    began = time.process_time()
    contestant()
    computed.append(time.process_time() - began)


def plain_map(run: Path, raster: Path, path: Path) -> None:
    """Write a map the plain way, all of it in memory."""
    trained = load_run(run)
    inference, image = map_inference(trained), read(raster, trained)
    total: Tensor | None = None
    covered = torch.zeros(image.shape[1:])
    side = inference.window
    weights = blend_weights(side, inference.blend)
    weights = weights[:, None] * weights
    starts = iter(starts_of(image, inference))
    for logits in predictions(trained, batches_of(image, inference)):
        if total is None:
            total = torch.zeros(logits.shape[1], *image.shape[1:])
        for window in logits:
            top, left = next(starts)
            total[:, top : top + side, left : left + side] += weights * window
            covered[top : top + side, left : left + side] += weights
    assert total is not None
    ids = (total / covered).argmax(dim=0).to(torch.uint8).numpy()
    with rasterio.open(raster) as source:
        profile = source.profile | {"count": 1}
    with rasterio.open(path, "w", **profile) as target:
        target.write(ids, 1)


def read(raster: Path, trained: TrainedRun) -> Tensor:
    """The whole raster, normalized, float32 [bands, H, W]."""
    with rasterio.open(raster) as source:
        return trained.student.normalise(torch.from_numpy(source.read())[None])[0]


def starts_of(image: Tensor, inference: InferenceSettings) -> list[Start]:
    """The windows of an image, row by row."""
    tops, lefts = (
        window_starts(side, inference.window, inference.overlap) for side in image.shape[1:]
    )
    return [(top, left) for top in tops for left in lefts]


def batches_of(image: Tensor, inference: InferenceSettings) -> list[Tensor]:
    """Windows in batches, float32 [B, bands, window, window]."""
    side, starts = inference.window, starts_of(image, inference)
    windows = [image[:, top : top + side, left : left + side] for top, left in starts]
    return [
        torch.stack(windows[start : start + inference.batch])
        for start in range(0, len(windows), inference.batch)
    ]


@torch.inference_mode()
def predictions(trained: TrainedRun, batches: list[Tensor]) -> Iterator[Tensor]:
    """The logits of each batch, float32 [B, C, window, window]."""
    for batch in batches:
        yield trained.student.logits(batch)


def require_same(path: Path, other: Path) -> None:
    """Check that two maps agree but for pixels where rounding decides."""
    maps = []
    for each in (path, other):
        with rasterio.open(each) as source:
            maps.append(source.read(1))
    assert np.mean(maps[0] != maps[1]) < 1e-3, "the maps differ"


if __name__ == "__main__":
    main()
