"""The map of a large raster, written in parts: seconds, and peak memory above the model.

    python tests/benchmarks/bench_map.py FOLDER [--width 20000] [--height 20000] [--layers]

The student is an EfficientNet-Lite0 with windows of 512 px and six classes, trained for one step: how
good its map is matters nothing here. The raster repeats a drawn scene.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from timing import MIB, Line, memory, table

from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.predict import PredictSettings, predict
from pipeline.train.run import train

CONFIG = """
name: large-map
data: {{manifest: synthetic, root: {folder}/scenes, labeled: 1.0}}
views: {{crop: 512, unlabeled_views: 1, labeled_views: 1}}
student: {{encoder: tf_efficientnet_lite0, weights: random}}
objective: {{method: supervised}}
optimiser: {{max_steps: 1, batch: 2}}
evaluation: {{inference: {{mode: slide, window: 512, overlap: 0.33, batch: 4}}}}
runtime: {{device: cpu, workers: 0, cache: {folder}/cache, runs: {folder}/runs}}
"""


def main() -> None:
    """Create the missing files in the folder, predict in a separate process, and print a table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--width", type=int, default=20_000)
    asked.add_argument("--height", type=int, default=20_000)
    asked.add_argument("--layers", action="store_true", help="probabilities and confidence too")
    given = asked.parse_args()
    folder, size = given.folder, (given.height, given.width)
    run = in_process(make_run, folder)
    small, large = (
        make_raster(folder / f"{height}x{width}.tif", height, width)
        for height, width in ((1024, 1024), size)
    )
    settings = PredictSettings(overwrite=True, probabilities=given.layers, confidence=given.layers)
    print(table(in_process(measure, run, small, large, folder / "maps", settings)))


def in_process(work, *arguments):
    """Call in a new process, so that its peak memory is that of the call."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def make_run(folder: Path) -> Path:
    """A run of one step, trained unless it exists."""
    run = folder / "runs" / "large-map-supervised-seed0"
    if not run.is_dir():
        draw_scenes(folder / "scenes", 14, 600, seed=0)
        (folder / "config.yaml").write_text(CONFIG.format(folder=folder))
        run = train(load_config(str(folder / "config.yaml"))).run
    return run


def make_raster(path: Path, height: int, width: int) -> Path:
    """A tiled GeoTIFF of three bands of 8 bits that repeats a drawn scene, written by rows of tiles."""
    if path.is_file():
        return path
    with Image.open(next(iter(sorted((path.parent / "scenes" / "images").iterdir())))) as image:
        scene = np.moveaxis(np.asarray(image)[:512, :512], 2, 0)
    rows = np.tile(scene, (1, 1, -(-width // 512)))[:, :, :width]
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    georeference = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.5, 0, 4e5, 0, -0.5, 2.8e6)}
    with rasterio.open(path, "w", **profile, **tiles, **georeference) as dataset:
        for top in range(0, height, 512):
            part = rows[:, : min(512, height - top)]
            dataset.write(part, window=((top, top + part.shape[1]), (0, width)))
    return path


def measure(
    run: Path, small: Path, large: Path, out: Path, settings: PredictSettings
) -> list[Line]:
    """Seconds, and the process's peak above the one that it reaches on a small raster, and above its rest after it."""
    predict(run, [small], out, settings)
    peak_before, rest = memory("VmHWM"), memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    start, computed = time.perf_counter(), time.process_time()
    predict(run, [large], out, settings)
    seconds, computed = time.perf_counter() - start, time.process_time() - computed
    peak = memory("VmHWM")
    name = f"{large.stem} px{', with layers' if settings.probabilities else ''}"
    return [
        (f"{name}: seconds", seconds, ""),
        (f"{name}: seconds of processor time, all cores", computed, ""),
        (f"{name}: MiB above the peak of 1024x1024 px", (peak - peak_before) / MIB, "<=600"),
        (f"{name}: MiB above the process at rest", (peak - rest) / MIB, ""),
        ("the process at rest, MiB", rest / MIB, ""),
    ]


if __name__ == "__main__":
    main()
