"""What a training step costs from each codec and with cached pixels: ratios within one run.

    python tests/benchmarks/bench_training.py

A ViT-S/14 student at 518 px takes 2 + 2 views a step; the tokens [37, 37, 384] are smooth random maps, so that no
teacher has to run. Needs some minutes and 1 GB for temporary files.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from timing import Line, alternate, table

from pipeline.config import ExperimentConfig, load_config
from pipeline.demo_scenes import draw_scenes
from pipeline.extract import extract
from pipeline.features import Features
from pipeline.pixels import find_pixels
from pipeline.plan import Experiment, plan_experiment
from pipeline.train import make_accelerator, make_training
from rsmtdf_core.store.codecs import declare_codec
from rsmtdf_core.store.creation import create_store
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.loop import StepRecord
from rsmtdf_core.training.targets import CachedTargets

SHAPE = TokenShape("dino", 37, 37, 384)
CODECS = ("fp16", "int8", "transform")
STEP_ROUNDS = 2
ROUNDS = 5
BATCHES = 12

CONFIG = """
name: bench
data: {manifest: synthetic, root: ROOT/scenes, labeled: 1/2}
views: {crop: 518, unlabeled_views: 2, labeled_views: 2}
teachers: [{name: dino, family: timm, model: vit_small_patch14_dinov2, weights: random}]
student: {encoder: vit_small_patch14_dinov2, weights: random}
optimiser: {epochs: 100, batch: 2}
runtime: {device: cpu, workers: 1, cache: ROOT/cache}
"""


def main() -> None:
    """Measure and print a markdown table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_scenes(root / "scenes", 12, 640, seed=0)
        file = root / "bench.yaml"
        file.write_text(CONFIG.replace("ROOT", folder))
        config = load_config(str(file), [])
        experiment = plan_experiment(config)
        stores = {codec: make_store(experiment, codec) for codec in CODECS}
        pixels = cache_pixels(config)
        lines = measure_steps(experiment, stores, pixels) + measure_pixels(experiment, pixels)
    sys.stdout.write(table(lines))


def make_store(experiment: Experiment, codec: str) -> FeatureStore:
    """A whole store of made-up tokens."""
    plan = experiment.plan
    group = ViewGroup.grown_by(experiment.config.runtime.cache_folder, plan)
    rows = group.rows(plan)
    store = create_store(
        group,
        {"weights_sha256": "none"},
        SHAPE,
        declare_codec(codec),
        lambda: np.stack([smooth_tokens(row) for row in range(16)]),
    )
    wanted = set(rows.tolist())
    for block in store.blocks(rows):
        records = (smooth_tokens(row) if row in wanted else None for row in block)
        store.append(write_block(store.path, block, records))
    store.commit(rows, 0.0)
    return store


def smooth_tokens(row: int) -> np.ndarray:
    """Maps whose spectrum falls as that of real token maps, float32 [37, 37, 384]."""
    draws = np.random.default_rng(row).standard_normal(SHAPE.record_shape).astype(np.float32)
    spectrum = np.fft.rfft2(draws, axes=(0, 1))
    u, v = np.fft.fftfreq(SHAPE.height)[:, None], np.fft.rfftfreq(SHAPE.width)
    spectrum /= (1 + 20 * np.hypot(u, v))[..., None] ** 2
    strength = np.linspace(3, 0.1, SHAPE.channels)
    return (np.fft.irfft2(spectrum, s=SHAPE.grid, axes=(0, 1)) * strength).astype(np.float32)


def cache_pixels(config: ExperimentConfig) -> FeatureStore:
    """The views' pixels, as stage one caches them."""
    runtime = config.runtime.model_copy(update={"cache_pixels": True})
    alone = config.model_copy(update={"teachers": (), "runtime": runtime})
    extract(alone)
    return find_pixels(plan_experiment(alone))


def features_of(
    experiment: Experiment, store: FeatureStore, pixels: FeatureStore | None
) -> Features:
    """What a training from this store knows of its teacher."""
    reader = FeatureReader(store, store.require(experiment.plan))
    targets = CachedTargets({"dino": reader}, {"dino": SHAPE}, experiment.plan, torch.device("cpu"))
    return Features((SHAPE,), targets, pixels=pixels)


def measure_steps(
    experiment: Experiment, stores: dict[str, FeatureStore], pixels: FeatureStore
) -> list[Line]:
    """The time of a step from each codec over that from fp16, and its share of waiting for data."""
    accelerator = make_accelerator(experiment.config)
    arms: dict[str, Iterator[StepRecord]] = {}
    for name, store in stores.items():
        features = features_of(experiment, store, None)
        arms[name] = make_training(experiment, features, accelerator).steps()
    features = features_of(experiment, stores["fp16"], pixels)
    arms["cached pixels"] = make_training(experiment, features, accelerator).steps()
    waited: dict[str, list[float]] = {name: [] for name in arms}

    def step(name: str) -> None:
        record = next(arms[name])
        waited[name].append(record.seconds["data"] / record.seconds["step"])

    for name in arms:
        step(name)
    times = alternate({name: lambda name=name: step(name) for name in arms}, STEP_ROUNDS)
    for steps in arms.values():
        steps.close()  # type: ignore[attr-defined]
    shares = {name: float(np.median(found[1:])) for name, found in waited.items()}
    return [
        ("training step, int8 / fp16", times["int8"] / times["fp16"], ""),
        ("training step, transform / fp16", times["transform"] / times["fp16"], "<=1.05"),
        ("training step, cached pixels / rendered", times["cached pixels"] / times["fp16"], ""),
        ("share of a step spent waiting for data, rendered", shares["fp16"], ""),
        (
            "share of a step spent waiting for data, pixels cached",
            shares["cached pixels"],
            "<=0.03",
        ),
    ]


def measure_pixels(experiment: Experiment, pixels: FeatureStore) -> list[Line]:
    """How many times faster batches come from the cache than from one rendering process."""
    accelerator = make_accelerator(experiment.config)
    store = make_store(experiment, "fp16")
    with ExitStack() as opened:
        arms = {}
        for name, cached in (("rendered", None), ("cached", pixels)):
            training = make_training(
                experiment, features_of(experiment, store, cached), accelerator
            )
            arms[name] = opened.enter_context(training.pixels.opened(0, training.total_steps))

        def batches(name: str) -> None:
            for _ in range(BATCHES):
                next(arms[name])

        for name in arms:
            batches(name)
        times = alternate({name: lambda name=name: batches(name) for name in arms}, ROUNDS)
    return [("samples a second, pixels cached / rendered", times["rendered"] / times["cached"], "")]


if __name__ == "__main__":
    main()
