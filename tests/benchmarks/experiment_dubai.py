"""Every method and every kind of cached feature on real scenes, three seeds each, in one table.

    python tests/benchmarks/experiment_dubai.py DUBAI WEIGHTS OUT [JOBS]

DUBAI holds "Tile 1" to "Tile 8", WEIGHTS the two files that the packaged config `dubai-small` names. JOBS runs train
at the same time and share the cores (2, as one of these small models keeps no two cores busy). Runs that are finished
are not run again, and one that was stopped goes on, so the script may be stopped at any time.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

SEEDS = (0, 1, 2)
TEACHERS = {
    "dino": "dinov2_vits14_lineage_fp16.safetensors",
    "lite0": "tf_efficientnet_lite0_fp16.safetensors",
}


def views(count: int) -> tuple[str, ...]:
    """K views of each scene."""
    return f"views.unlabeled_views={count}", f"views.labeled_views={count}"


def codec(name: str) -> tuple[str, ...]:
    """All teachers' tokens in one codec."""
    return tuple(f"teachers.{teacher}.codec={name}" for teacher in TEACHERS)


ARMS: dict[str, tuple[str, ...]] = {
    "supervised": ("objective.method=supervised", *views(16)),
    "fixmatch": ("objective.method=fixmatch", *views(16)),
    "unimatch-v2": ("objective.method=unimatch-v2", *views(16)),
    "rs-mtdf-k1": views(1),
    "rs-mtdf-k4": views(4),
    "rs-mtdf-k16": views(16),
    "rs-mtdf-k4-int8": (*views(4), *codec("int8")),
    "rs-mtdf-k4-transform": (*views(4), *codec("transform")),
    "rs-mtdf-k4-online": (*views(4), "objective.teachers=online"),
}


def main() -> None:
    """Run the missing trainings, then compare all."""
    data, weights, out = (Path(word) for word in sys.argv[1:4])
    jobs = int(sys.argv[4]) if len(sys.argv) > 4 else 2
    shared = common(data, weights, out)
    for name, overrides in ARMS.items():
        if name.startswith("rs-mtdf") and "online" not in name:
            rsmtdf("extract-features", "dubai-small", *flags([*shared, *overrides]))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    wanted = [
        (out / "runs" / f"{name}-seed{seed}", [*shared, *overrides, f"seed={seed}"])
        for seed, (name, overrides) in product(SEEDS, ARMS.items())
    ]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda arguments: train(*arguments, threads), wanted))
    runs = [str(run) for run, _ in wanted]
    rsmtdf("compare", *runs, "--split", "test", "--out", str(out / "comparison"))


def common(data: Path, weights: Path, out: Path) -> list[str]:
    """The settings of all arms."""
    settings = [f"data.root={data}", f"runtime.cache={out / 'cache'}"]
    settings += [f"teachers.{name}.weights={weights / file}" for name, file in TEACHERS.items()]
    settings += ["views.vertical_flip=0", "views.quarter_turns=0"]  # as in docs/results.md
    return [*settings, f"student.weights={weights / TEACHERS['lite0']}"]


def train(run: Path, settings: list[str], threads: int) -> None:
    """Train and score a run unless that was done."""
    if (run / "evaluation" / "test-ema" / "report.json").is_file():
        return
    marker = run / "run.json"
    status = json.loads(marker.read_text()).get("status") if marker.is_file() else None
    if status != "finished":
        going_on = ["--resume"] if marker.is_file() else []
        rsmtdf(
            "train", "dubai-small", "--run", str(run), *going_on, *flags(settings), threads=threads
        )
    rsmtdf("evaluate", str(run), threads=threads)


def flags(settings: list[str]) -> list[str]:
    """The settings as the command line takes them."""
    return [word for setting in settings for word in ("--set", setting)]


def rsmtdf(*words: str, threads: int | None = None) -> None:
    """Run a verb; end the script if it fails."""
    limit = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-m", "cli.main", *words], check=True, env=os.environ | limit)


if __name__ == "__main__":
    main()
