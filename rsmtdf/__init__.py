"""Semi-supervised segmentation of aerial images with cached teachers, from Python (tests: test_api.py).

Each verb of the command line is a function with the same name and options, and returns its report:

    import rsmtdf

    rsmtdf.extract_features("mine.yaml", progress=True)
    run = rsmtdf.train("mine.yaml", overrides={"optimiser.epochs": 20}).run
    print(rsmtdf.evaluate(run).scores.miou)
    model = rsmtdf.load_student(run)

`rsmtdf.cache` and `rsmtdf.data` have the verbs of those groups, such as `rsmtdf.cache.plan`.

A config is a path, the name of a packaged config, a mapping, or the checked model that `load_config` returns. Errors
are `RsmtdfError`s.

Functions can be called repeatedly in one process, such as a notebook. They restore random generators, environment,
signal handlers and flags of torch as they return. Three things stay: imported libraries, filters for warnings of Pillow
and rasterio about files, and, on a CPU, freed memory that the C library keeps for the next call. A GPU's random
generator is restored if CUDA was in use before. Importing this package imports none of the large libraries.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rsmtdf import cache, data, nested_names
from rsmtdf.archive import search, suggest
from rsmtdf.configs import load_config
from rsmtdf.isolation import isolated
from rsmtdf.results import areas, compare, demo, export, import_official, report, runs
from rsmtdf.share import pull, push
from rsmtdf.stages import calibrate, evaluate, extract_features, predict, probe, train
from rsmtdf.starting import start
from rsmtdf_core import __version__
from rsmtdf_core.errors import RsmtdfError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from rsmtdf.configs import ConfigSource, Overrides
    from rsmtdf.features import FeatureDataset
    from rsmtdf.models import StudentModel
    from rsmtdf.paths import PathLike
    from rsmtdf.stages import Weights

__all__ = [
    "RsmtdfError",
    "__version__",
    "areas",
    "cache",
    "calibrate",
    "compare",
    "data",
    "demo",
    "evaluate",
    "export",
    "extract_features",
    "import_official",
    "load_config",
    "load_student",
    "open_features",
    "predict",
    "probe",
    "pull",
    "push",
    "report",
    "runs",
    "search",
    "start",
    "suggest",
    "train",
]

nested_names.install()


@isolated
def load_student(
    run: PathLike,
    *,
    weights: Weights | None = None,
    checkpoint: PathLike | int | None = None,
    device: torch.device | str | None = None,
) -> StudentModel:
    """Load a run's best student as a module in eval mode, which maps images to logits.

    Images are uint8 or floating-point in 0..1, [B, bands, H, W] of any size; logits are float32 [B, classes, H, W].

    Args:
        run: the run's folder.
        weights: the EMA model or the student, by default the model that selected the best checkpoint.
        checkpoint: `best`, `last`, a number of trained steps, or the folder of a checkpoint; by default the best.
        device: by default the device of the run's config, which is a GPU if available.

    Raises:
        RsmtdfError: If there is no run, or its checkpoint is damaged.
    """
    from rsmtdf.models import load_student as load

    return load(run, weights=weights, checkpoint=checkpoint, device=device)


@isolated
def open_features(
    source: ConfigSource,
    *,
    overrides: Overrides = None,
    teachers: Iterable[str] | None = None,
) -> FeatureDataset:
    """Open cached tokens as a `torch.utils.data.Dataset`, with their crops and masks.

    Args:
        source: a config, as for `load_config`, whose features are cached; or the folder of a store, whose dataset has
            only tokens.
        overrides: overrides of the config's keys.
        teachers: names of teachers, by default all teachers of the config.

    Raises:
        RsmtdfError: If the config or its scenes cannot be used, or the cached features are incomplete.
    """
    from rsmtdf.features import open_config, open_store

    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        return open_store(Path(source))
    return open_config(source, overrides, teachers)
