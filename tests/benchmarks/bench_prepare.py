"""Seconds and peak memory of `rsmtdf data prepare` for one tile of Potsdam's full size.

    python tests/benchmarks/bench_prepare.py

The tile is drawn: 6000 x 6000 px, blobs of the classes' colours, a little off, under noise. Each way is a process of
its own, a few times in turn; the peak is VmHWM, so this needs Linux. `nothing` only imports the modules of the others.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from timing import MIB, Line, memory, table

from pipeline.data.prepare import BENCHMARKS, PrepareSettings, prepare
from rsmtdf_core.scenes.manifest import load_manifest

WAYS = ("nothing", "windows", "crops")
ROUNDS = 3


def main() -> None:
    """Measure and print a markdown table; with the name of a way and folders, take that way once."""
    if len(sys.argv) > 1:
        way, source, to = sys.argv[1:]
        sys.stdout.write(json.dumps(taken(way, Path(source), Path(to))))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "Potsdam"
        draw_tile(source)
        answers: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for number in range(ROUNDS):
            for way in WAYS:
                to = Path(folder) / f"{way}-{number}"
                command = [sys.executable, __file__, way, str(source), str(to)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                answers[way].append(json.loads(done.stdout))
    sys.stdout.write(table(lines(answers)))


def taken(way: str, source: Path, to: Path) -> dict[str, float]:
    """Seconds of one way, and the peak of this process's memory, MiB."""
    start = time.perf_counter()
    if way != "nothing":
        prepare(
            PrepareSettings(
                benchmark="potsdam", source=(source,), to=to, crops=way == "crops", partial=True
            )
        )
    return {"seconds": time.perf_counter() - start, "peak": memory("VmHWM") / MIB}


def draw_tile(folder: Path) -> None:
    """One tile in Potsdam's layout, as large on disk as a real one: neither file is compressed."""
    width, height = BENCHMARKS["potsdam"].size
    draws = np.random.default_rng(0)
    colors = np.clip(load_manifest("potsdam").palette, 9, 240)
    ids = draws.integers(0, len(colors), (height // 40, width // 40)).repeat(40, 0).repeat(40, 1)
    noise = draws.integers(0, 9, (height, width, 3), np.uint8)
    for path, pixels in (
        ("2_Ortho_RGB/top_potsdam_2_10_RGB.tif", colors[ids] + noise),
        ("5_Labels_all/top_potsdam_2_10_label.tif", colors[ids]),
    ):
        (folder / path).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / path)


def lines(answers: dict[str, list[dict[str, float]]]) -> list[Line]:
    """Median seconds and the highest peak of each way."""
    results: list[Line] = []
    for way, rounds in answers.items():
        if way != "nothing":
            seconds = float(np.median([measurement["seconds"] for measurement in rounds]))
            results.append((f"prepare, a tile of Potsdam: {way}, s", seconds, ""))
        peak = max(measurement["peak"] for measurement in rounds)
        results.append((f"prepare, a tile of Potsdam: {way}, peak of memory, MiB", peak, ""))
    return results


if __name__ == "__main__":
    main()
