"""How long commands take to start: help, a config, and a training until its first step.

    python tests/benchmarks/bench_start.py

Commands run in turns, each in a process of one thread. The bars are for processor time: other programs on the machine
add to the seconds that pass, and much less to it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from timing import Line, table

from pipeline.config import load_config
from pipeline.demo.run import SCENE_SIDE, SCENES, TEACHER
from pipeline.demo.scenes import draw_scenes
from pipeline.extract.run import extract

ROUNDS = 3
RSMTDF = [str(Path(sys.executable).with_name("rsmtdf"))]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

Times = tuple[float, float]
"""Seconds that passed, and seconds of processor time."""


def main() -> None:
    """Measure and print a Markdown table."""
    with tempfile.TemporaryDirectory() as folder:
        words = prepare(Path(folder))
        run = Path(folder) / "run"
        commands: dict[str, tuple[Callable[[], Times], str]] = {
            "rsmtdf --help": (lambda: to_end("--help"), "<=0.5"),
            "rsmtdf config show demo": (lambda: to_end("config", "show", "demo"), "<=1"),
            "rsmtdf train, to the first step of the demo": (lambda: to_step(run, words), "<=10"),
        }
        taken: dict[str, list[Times]] = {name: [] for name in commands}
        for number in range(1 + ROUNDS):
            for name, (command, _) in commands.items():
                times = command()
                if number:  # the first reads files into memory
                    taken[name].append(times)
    lines: list[Line] = []
    for name, (_, bar) in commands.items():
        passed, computed = np.median(taken[name], axis=0).tolist()
        lines += [
            (f"{name}: seconds of processor time", computed, bar),
            (f"{name}: seconds", passed, ""),
        ]
    sys.stdout.write(table(lines))


def prepare(folder: Path) -> list[str]:
    """Draw the demo's scenes, cache its features, and return the settings of its training."""
    draw_scenes(folder / "scenes", SCENES, SCENE_SIDE, seed=0)
    teacher = shutil.copy(TEACHER, folder)
    settings = (
        f"data.root={folder / 'scenes'}",
        f"teachers.teacher.weights={teacher}",
        f"runtime.cache={folder / 'cache'}",
    )
    extract(load_config("demo", settings))
    return [word for setting in settings for word in ("--set", setting)]


def to_end(*words: str) -> Times:
    """Run a command to its end."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([*RSMTDF, *words], env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    passed, after = time.perf_counter() - began, os.times()
    user, system = after.children_user, after.children_system
    return passed, user + system - before.children_user - before.children_system


def to_step(run: Path, settings: list[str]) -> Times:
    """Train until the first line of metrics, that of the first step, and end the process."""
    words = [*RSMTDF, "train", "demo", "--run", str(run), *settings]
    metrics, log = run / "metrics.jsonl", run.with_name("log")
    began = time.perf_counter()
    with (
        log.open("w") as file,
        subprocess.Popen(words, env=ENVIRONMENT, stdout=file, stderr=file) as process,
    ):
        while not (metrics.is_file() and metrics.stat().st_size):
            if process.poll() is not None:
                sys.exit(f"the training ended before its first step:\n{log.read_text()}")
            time.sleep(0.01)
        passed, times = time.perf_counter() - began, psutil.Process(process.pid).cpu_times()
        process.kill()
    shutil.rmtree(run)
    return passed, times.user + times.system


if __name__ == "__main__":
    main()
