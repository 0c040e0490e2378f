"""How far losses drift from those of teachers in the loop, by the codec that their tokens were cached in.

    python tests/benchmarks/loss_curves.py DUBAI WEIGHTS OUT

Trains rs-mtdf on real scenes with real teachers for 52 steps: once with the teachers online, once from each codec,
with the same views, order and first weights, at the published learning rates: at higher ones training is chaotic, and
any two ways of rounding part. Prints a markdown table; the runs stay in OUT.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from experiment_dubai import codec, common, views

from pipeline.config import load_config
from pipeline.extract.run import extract
from pipeline.train.run import train
from rsmtdf_core.runs.folder import open_run

STEPS = 52
CODECS = {"fp16": 1e-3, "int8": 1e-2, "transform": None}
LOSSES = ("loss", "loss_x", "loss_u", "loss_distill")

Curves = dict[str, npt.NDArray[np.float64]]


def main() -> None:
    """Train the arms, then print how they differ."""
    data, weights, out = (Path(word) for word in sys.argv[1:4])
    settings = [*common(data, weights, out), *views(4), f"optimiser.max_steps={STEPS}"]
    settings += ["optimiser.lr=5e-6", "optimiser.multiplier=40"]
    settings += ["runtime.log_every=1", "evaluation.every=1000"]
    online = trained(out / "curves" / "online", [*settings, "objective.teachers=online"])
    print(
        "| tokens | largest difference of the loss, relative | mean | by part, largest | bar | met? |"
    )
    print("|---|---|---|---|---|---|")
    for name, bar in CODECS.items():
        overrides = [*settings, *codec(name)]
        extract(load_config("dubai-small", overrides))
        print(row(name, trained(out / "curves" / name, overrides), online, bar), flush=True)


def trained(run: Path, settings: Sequence[str]) -> Curves:
    """The losses of each step."""
    config = load_config("dubai-small", settings)
    lines = open_run(train(config, run, overwrite=run.exists()).run).read_metrics()
    steps = [line for line in lines if "loss" in line]
    assert len(steps) == STEPS
    return {name: np.array([line[name] for line in steps]) for name in LOSSES}


def row(name: str, curves: Curves, online: Curves, bar: float | None) -> str:
    """A line of the table; parts are compared with the whole loss, as one of them may be near 0."""
    differences = {key: np.abs(curves[key] - online[key]) / online["loss"] for key in LOSSES}
    whole = differences["loss"]
    parts = ", ".join(f"{key} {differences[key].max():.2g}" for key in LOSSES[1:])
    limit = "" if bar is None else f"{bar:g}"
    met = "" if bar is None else ("yes" if whole.max() <= bar else "no")
    return f"| {name} | {whole.max():.2g} | {whole.mean():.2g} | {parts} | {limit} | {met} |"


if __name__ == "__main__":
    main()
