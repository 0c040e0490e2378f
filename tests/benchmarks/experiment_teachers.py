"""The gain from cached teachers on real scenes, and its cost: methods with and without them, over seeds and budgets.

    python tests/benchmarks/experiment_teachers.py DATA WEIGHTS OUT --arms supervised rs-mtdf --steps 250 500
    python tests/benchmarks/experiment_teachers.py DATA WEIGHTS OUT --arms rs-mtdf --views 1 2 4 8 fresh

DATA holds images/ and masks/ (gray, split at 128) and may hold unlabeled/, or it holds "Tile 1" to "Tile 8" of Dubai.
WEIGHTS holds the two files below. All combinations of the options run one after the other, seed by seed. A finished
run is a line of the results file and does not run again, so the script may be stopped at any time, and further calls
add lines. Table and picture show all lines.

A cost is the processor time of a training with its validations. With extraction, it also has the run's views times the
mean processor time of an extracted view. Costs compare within a machine and a number of threads.
"""

import argparse
import json
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from experiment_results import Arm, append, read, write_report

import rsmtdf
from pipeline.config import ExperimentConfig
from pipeline.plan import plan_experiment
from pipeline.runs import read_run
from rsmtdf_core.charts.curves import EXPLAINED, TRUSTED, metric_curve
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.roles import Role, deciding
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.validation import dump_yaml

DINO = "dinov2_vits14_lineage_fp16.safetensors"  # of DINOv2 lineage, not the official file
LITE0 = "tf_efficientnet_lite0_fp16.safetensors"
# Encoder, weights, and the learning rate of the encoder with the factor for all other layers.
STUDENTS: dict[str, tuple[str, str, float, float]] = {
    "random": ("mobilenetv3_small_050", "random", 1e-3, 1),
    "lite0": ("tf_efficientnet_lite0", LITE0, 2e-4, 5),
    "dino": ("vit_small_patch14_dinov2.lvd142m", DINO, 5e-6, 40),
}
CENTERED = {"targets": "centered"}
ARMS: dict[str, dict[str, object]] = {
    "supervised": {"method": "supervised"},
    "teacher-head": {"method": "teacher-head"},
    "fixmatch": {"method": "fixmatch"},
    "unimatch-v2": {"method": "unimatch-v2"},
    "rs-mtdf": {"method": "rs-mtdf"},
    "distill, supervised": {"method": "supervised"},
    "distill, fixmatch": {"method": "fixmatch"},
    "distill, rs-mtdf": {"method": "rs-mtdf"},
    "distill, recipe": {
        "method": "rs-mtdf",
        "distillation": CENTERED,
        "thresholds": "self-adaptive",
        "region_loss": "dice",
    },
    "distill pyramid, supervised": {"method": "supervised"},
    "distill pyramid, fixmatch": {"method": "fixmatch"},
    "distill pyramid, rs-mtdf": {"method": "rs-mtdf", "distillation": CENTERED},
}
CODECS: dict[str, object] = {
    "fp16": "fp16",
    "int8": "int8",
    "transform .99": {"name": "transform", "quality": 0.99},
    "transform .98": {"name": "transform", "quality": 0.98},
}
CONFIG: dict[str, Any] = {
    "name": "experiment",
    "data": {},
    "views": {"vertical_flip": 0.5, "quarter_turns": 1},
    "teachers": [{"name": "dino", "family": "timm", "model": STUDENTS["dino"][0]}],
    "student": {"translator_hidden": 512},
    "optimiser": {"batch": 4, "ema": 0.99},
    "runtime": {"workers": 0, "extract_workers": 1},
}
VALIDATIONS = 4
PRETRAIN = 4  # steps of distillation for each step of the method, which cost about as much with the smallest student
HELD_OUT = (10, 30)  # scenes of validation and test, in a folder of images and masks


class Data(NamedTuple):
    """The scenes.

    Attributes:
        manifest: name or path of the manifest.
        root: the data root.
        masked: number of training scenes with a mask.
        training: number of training scenes.
    """

    manifest: str
    root: Path
    masked: int
    training: int


def main() -> None:
    """Run the missing arms; write table and picture after each run."""
    options = parser().parse_args()
    torch.set_num_threads(options.threads)
    results = options.results or options.out / "results.jsonl"
    options.out.mkdir(parents=True, exist_ok=True)
    data = find_data(options.data, options.out)
    deadline = time.monotonic() + 3600 * options.hours
    dimensions = (options.labels, options.arms, options.views, options.codecs, options.steps)
    name = load_manifest(data.manifest).name
    write_report(read(results), options.out)
    for seed, *values in product(options.seeds, *dimensions):
        arm = Arm(name, options.student, *values)
        config = config_of(arm, seed, data, options)
        key = key_of(config, options.weights)
        if any(line.get("key") == key for line in read(results)):
            continue
        if time.monotonic() > deadline:
            sys.exit(f"{options.hours:g} hours are over; the same command goes on")
        sys.stderr.write(f"{' '.join(map(str, arm))} seed {seed}\n")
        tokens = tokens_of(config, options.weights)
        extract(config, tokens, results)
        facts = {**arm._asdict(), "seed": seed, "key": key, "tokens": tokens}
        append(results, facts | score(config, options.out / key[:12]))
        write_report(read(results), options.out)


def parser() -> argparse.ArgumentParser:
    """The script's options."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("weights", type=Path)
    options.add_argument("out", type=Path, help="folder of the cache, the runs, table and picture")
    options.add_argument("--results", type=Path, help="by default OUT/results.jsonl")
    options.add_argument("--student", choices=STUDENTS, default="random")
    options.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--labels", nargs="+", type=int, default=[10])
    options.add_argument("--steps", nargs="+", type=int, default=[1000])
    options.add_argument("--views", nargs="+", default=["8"])
    options.add_argument("--codecs", nargs="+", choices=CODECS, default=["fp16"])
    options.add_argument("--crop", type=int, default=128, help="px")
    options.add_argument("--hours", type=float, default=12.0, help="no run starts later")
    options.add_argument("--threads", type=int, default=1)
    return options


def find_data(folder: Path, out: Path) -> Data:
    """Find the scenes, with a manifest for a folder of images and masks."""
    dubai = (folder / "Tile 1").is_dir()
    manifest, root = ("dubai", folder) if dubai else split_folder(folder, out)
    scenes = find_scenes(load_manifest(manifest), root).splits["train"]
    masked = sum(scene.mask is not None for scene in scenes)
    return Data(manifest, root, masked, len(scenes))


def split_folder(data: Path, out: Path) -> tuple[str, Path]:
    """Write a manifest, and link images with and without masks into one folder, as a manifest has one pattern.

    Returns:
        The manifest's path and the data root.
    """
    root = out / "scenes"
    (root / "images").mkdir(parents=True, exist_ok=True)
    images = {
        path.stem: path.resolve()
        for folder in ("images", "unlabeled")
        for path in (data / folder).glob("*.*")
    }
    links = {root / "images" / path.name: path for path in images.values()}
    for link, path in {**links, root / "masks": (data / "masks").resolve()}.items():
        if not link.exists():
            link.symlink_to(path)
    masked = sorted(path.stem for path in (data / "masks").glob("*.*"))
    val, test = HELD_OUT
    drawn = np.random.default_rng(0).permutation(masked).tolist()
    splits = {"val": drawn[:val], "test": drawn[val : val + test]}
    splits["train"] = sorted(images.keys() - {*splits["val"], *splits["test"]})
    manifest = Manifest(
        name=data.name,
        title=data.name,
        classes=[
            {"name": "background", "color": "#000000"},
            {"name": data.name, "color": "#FFFFFF"},
        ],
        images="images/{name}.*",
        masks="masks/{name}.*",
        mask_encoding={"encoding": "colors", "match": "threshold"},
        splits={split: {"scenes": sorted(scenes)} for split, scenes in splits.items()},
    )
    path = out / "manifest.yaml"
    path.write_text(dump_yaml(manifest))
    return str(path), root


def config_of(arm: Arm, seed: int, data: Data, options: argparse.Namespace) -> ExperimentConfig:
    """Return the config of a run."""
    encoder, weights, lr, multiplier = STUDENTS[arm.student]
    objective = dict(ARMS[arm.arm])
    alone = objective["method"] in ("supervised", "teacher-head")
    steps = 2 * arm.steps if alone else arm.steps
    if arm.views == "fresh" and objective["method"] == "rs-mtdf":
        objective["teachers"] = "online"
    if arm.arm.startswith("distill"):
        objective["pretrain"] = {"steps": PRETRAIN * arm.steps, "distillation": CENTERED}
    epoch = (data.training - arm.labels) // CONFIG["optimiser"]["batch"]
    overrides = {
        "seed": seed,
        "data": {"manifest": data.manifest, "root": data.root, "labeled": arm.labels / data.masked},
        "views.crop": options.crop,
        "views.unlabeled_views": arm.views if arm.views == "fresh" else int(arm.views),
        "views.labeled_views": 16 if objective["method"] == "teacher-head" else "fresh",
        "teachers.dino.weights": options.weights / DINO,
        "teachers.dino.input_size": 14 * (options.crop // 14),
        "teachers.dino.codec": CODECS[arm.codec],
        "student.encoder": encoder,
        "student.weights": weights if weights == "random" else options.weights / weights,
        "student.translator_input": "pyramid" if "pyramid" in arm.arm else "last",
        "objective": objective,
        "optimiser.lr": lr,
        "optimiser.multiplier": multiplier,
        "optimiser.epochs": steps,  # an epoch has at least one step
        "optimiser.max_steps": steps,
        "evaluation.every": max(1, steps // (VALIDATIONS * epoch)),
        "runtime.cache": options.out / "cache",
    }
    return rsmtdf.load_config(CONFIG, overrides)


def key_of(config: ExperimentConfig, weights: Path) -> str:
    """Return the fingerprint of everything that decides a run's result."""
    manifest = load_manifest(config.data.manifest).model_dump(mode="json")
    return portable([manifest, deciding(config, *(set(Role) - {Role.SPEED, Role.PLACE}))], weights)


def tokens_of(config: ExperimentConfig, weights: Path) -> str:
    """Return the fingerprint of the settings that determine the cost of a view's tokens."""
    return portable(deciding(config, Role.VIEWS, Role.TEACHER, Role.CODEC), weights)


def portable(values: object, weights: Path) -> str:
    """Return the fingerprint of values, in which weights files count by name."""
    return fingerprint(json.loads(json.dumps(values).replace(f"{weights}/", "")))


def extract(config: ExperimentConfig, tokens: str, results: Path) -> None:
    """Cache the tokens that a run needs, and record the processor time of new ones."""
    if not config.distilled or config.teacher_source == "online":
        return
    began = time.process_time()
    new = rsmtdf.extract_features(config).stores[0].new
    if new:
        seconds = time.process_time() - began
        append(results, {"tokens": tokens, "records": new, "seconds": seconds})


def score(config: ExperimentConfig, run: Path) -> dict[str, Any]:
    """Train and test a run. One that was stopped starts again, so that its cost is whole."""
    began = time.process_time()
    rsmtdf.train(config, run, overwrite=run.exists())
    seconds = time.process_time() - began
    scores = rsmtdf.evaluate(run).scores
    lines = read_run(run).lines
    plan = plan_experiment(config).plan
    cached = config.distilled and config.teacher_source != "online"
    return {
        "run_steps": 1 + max(line["step"] for line in lines),
        "miou": scores.miou,
        "seconds": seconds,
        "records": len(plan) if cached else 0,
        "validations": metric_curve([line for line in lines if line.get("split") == "val"], "miou"),
        # Of the last logged interval.
        **{key: line[key] for line in lines for key in (EXPLAINED, TRUSTED) if key in line},
    }


if __name__ == "__main__":
    main()
