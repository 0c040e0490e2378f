"""Runs as folders hold them, written without a training."""

from pathlib import Path
from typing import Any

from pipeline.config import ExperimentConfig
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.runs.starting import prepare_run
from rsmtdf_core.scenes.manifest import load_manifest


def write_run(
    folder: Path, config: ExperimentConfig, scores: tuple[float, ...] = (), **facts: Any
) -> RunFolder:
    """A run whose epochs of 4 steps were validated with these scores."""
    run = RunFolder(folder)
    prepare_run(
        run,
        config,
        load_manifest(config.data.manifest, config.data.fold),
        resume=False,
        overwrite=False,
    )
    for epoch, miou in enumerate(scores):
        run.log({"step": 4 * epoch + 1, "epoch": epoch, "loss": 1.0})
        line = {"step": 4 * epoch + 3, "epoch": epoch, "split": "val", "miou": miou, "iou": {}}
        run.log(line)
    run.note_lines(**facts)
    return run


def lock_stores(run: RunFolder, *, weights: str = "a" * 64, **more: Any) -> None:
    """Name a store for each of the tiny config's teachers."""
    stores = {
        name: {
            "store": f"views-0123456789abcdef/{name}-0123456789ab-fp16",
            "codec": {"name": "fp16", "format": 1},
            "identity": {"weights_sha256": weights},
        }
        for name in ("vit", "cnn")
    }
    run.lock({"views": "v", "plan": "p", "stores": stores, **more})
