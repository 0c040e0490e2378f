"""Stores of made-up tokens in the shapes of DINOv2-B and CLIP-L, for benchmarks that need no real ones."""

import numpy as np
import torch

from pipeline.pixel_store import find_pixels
from pipeline.plan import Experiment
from pipeline.train.features import Features
from rsmtdf_core.cache.creation import create_store
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.cache.group import grow_group
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.targets import CachedTargets

SHAPES = {
    "dino": TokenShape("dino", 37, 37, 768),
    "clip": TokenShape("clip", 16, 16, 1024, input_size=224),
}


def identity(shape: TokenShape) -> dict[str, object]:
    """The identity of a store of made-up tokens."""
    return {"made up": shape.teacher, "weights_sha256": None}


def make_store(experiment: Experiment, shape: TokenShape, codec: str) -> None:
    """A whole store of made-up tokens."""
    plan = experiment.plan
    group = grow_group(experiment.config.runtime.cache_folder, plan)
    rows = group.rows(plan)
    store = create_store(
        group,
        identity(shape),
        shape,
        declare_codec(codec),
        lambda: np.stack([smooth_tokens(shape, row) for row in range(16)]),
    )
    wanted = set(rows.tolist())
    for block in store.blocks(rows):
        records = (smooth_tokens(shape, row) if row in wanted else None for row in block)
        store.append(write_block(store.path, block, records))
    store.commit(rows, 0.0)


def smooth_tokens(shape: TokenShape, row: int) -> np.ndarray:
    """Maps whose spectrum falls as that of real token maps, float32 [h, w, D]."""
    draws = np.random.default_rng(row).standard_normal(shape.record_shape).astype(np.float32)
    spectrum = np.fft.rfft2(draws, axes=(0, 1))
    u, v = np.fft.fftfreq(shape.height)[:, None], np.fft.rfftfreq(shape.width)
    spectrum /= (1 + 20 * np.hypot(u, v))[..., None] ** 2
    strength = np.linspace(3, 0.1, shape.channels)
    return (np.fft.irfft2(spectrum, s=shape.grid, axes=(0, 1)) * strength).astype(np.float32)


def made_up_features(experiment: Experiment, codec: str, device: torch.device) -> Features:
    """The features of a training from the made-up stores."""
    cache, plan = experiment.config.runtime.cache_folder, experiment.plan
    readers = {}
    for name, shape in SHAPES.items():
        store = find_store(cache, plan, identity(shape), declare_codec(codec))
        readers[name] = FeatureReader(store, store.require(plan))
    targets = CachedTargets(readers, SHAPES, plan, device)
    return Features(tuple(SHAPES.values()), targets, pixels=find_pixels(experiment))
