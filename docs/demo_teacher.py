"""Train the demo's teacher: the encoder of a student that learns from hundreds of drawn scenes, all of them labeled.

    python docs/demo_teacher.py OUT

OUT is a folder for scenes and run. The scenes are drawn with another seed than the demo's. The encoder's EMA weights,
in fp16, replace pipeline/demo/teacher.safetensors. Takes half an hour on two cores.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import rsmtdf
from pipeline.demo.run import TEACHER
from pipeline.demo.scenes import draw_scenes
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.validation import dump_yaml

SCENES, SIDE, SEED = 400, 320, 1
SPLITS = {"train": (0.0, 0.95), "val": (0.95, 0.975), "test": (0.975, 1.0)}
CONFIG: dict[str, Any] = {
    "name": "demo-teacher",
    "views": {
        "crop": 128,
        "scale": [0.8, 1.5],
        "vertical_flip": 0.5,
        "quarter_turns": 1,
        "labeled_views": "fresh",
        "unlabeled_views": "fresh",
    },
    "teachers": [],
    "student": {"encoder": "test_resnet", "weights": "random"},
    "objective": {"method": "supervised"},
    "optimiser": {
        "lr": 0.003,
        "multiplier": 1,
        "epochs": 1000,
        "max_steps": 1500,
        "batch": 8,
        "ema": 0.99,
        "warmup": 0.05,
    },
    "evaluation": {
        "every": 8,
        "inference": {"mode": "slide", "window": 320, "overlap": 0.25, "batch": 4},
    },
    "runtime": {"device": "cpu", "workers": 0},
}


def main() -> None:
    """Draw the scenes, train, score, and keep the encoder."""
    out = Path(sys.argv[1])
    draw_scenes(out / "scenes", SCENES, SIDE, SEED)
    fields = load_manifest("synthetic").model_dump(mode="json", exclude_defaults=True)
    fields["splits"] = {split: {"share": share} for split, share in SPLITS.items()}
    (out / "manifest.yaml").write_text(dump_yaml(Manifest.model_validate(fields)))
    data = {"manifest": str(out / "manifest.yaml"), "root": out / "scenes", "labeled": 1}
    report = rsmtdf.train(CONFIG, out / "run", overrides={"data": data}, overwrite=True)
    print(f"test mIoU {rsmtdf.evaluate(report.run).scores.miou:.4f}")
    (state,) = (report.run / "best").glob("*/ema.safetensors")
    prefix = "encoder.net."
    encoder = {
        name.removeprefix(prefix): tensor.half() if tensor.dtype == torch.float32 else tensor
        for name, tensor in load_file(state).items()
        if name.startswith(prefix)
    }
    save_file(encoder, TEACHER)


if __name__ == "__main__":
    main()
