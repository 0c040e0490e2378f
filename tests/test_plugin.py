"""Every verb accepts a method, a teacher family, a codec and a protocol from another package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.demo.scenes import draw_scenes
from tests.plugins import install

HERE = Path(__file__).parent
POINTS = {
    "rsmtdf.methods": {"nearest": "toy.rows:NEAREST"},
    "rsmtdf.teachers": {"patches": "toy.rows:PATCHES"},
    "rsmtdf.codecs": {"fixed": "toy.rows:FIXED"},
    "rsmtdf.protocols": {"halved": "toy.rows:HALVED"},
}
CONFIG = """
name: toy
data: {manifest: synthetic, root: SCENES, labeled: 1/4}
views: {crop: 64, scale: [0.6, 1.2], unlabeled_views: 2, labeled_views: 2}
teachers:
  - {name: grid, family: patches, model: any, weights: random, patch: 8, codec: {name: fixed, steps: 512}}
  - {name: vit, family: timm, model: test_vit, weights: random, input_size: 80}
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
objective: {method: nearest, confidence: 0.3}
optimiser: {lr: 0.002, multiplier: 1, epochs: 1, batch: 2, ema: 0.9}
evaluation: {inference: {mode: slide, window: 64, overlap: 0, batch: 4}}
runtime: {device: cpu, workers: 0, cache: CACHE, runs: RUNS, log_every: 1, extract_workers: 1}
"""


def python(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python with the toy package installed in a folder."""
    path = os.pathsep.join([str(folder), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the toy package and its metadata."""
    folder = tmp_path_factory.mktemp("packages")
    shutil.copytree(HERE / "plugin" / "toy", folder / "toy")
    install(folder, "toy", POINTS)
    return folder


@pytest.fixture(scope="module")
def used(installed, tmp_path_factory):
    """The verbs' reports on an experiment made of toy parts."""
    folder = tmp_path_factory.mktemp("experiment")
    draw_scenes(folder / "scenes", 14, 72, seed=3)
    text = CONFIG.replace("SCENES", str(folder / "scenes")).replace("CACHE", str(folder / "cache"))
    (folder / "toy.yaml").write_text(text.replace("RUNS", str(folder / "runs")))
    done = python(installed, HERE / "plugin" / "use.py", folder / "toy.yaml")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_its_teacher_is_extracted_once_into_its_codec(used):
    grid, vit = used["stores"]
    assert grid.startswith("grid-")
    assert grid.endswith("-fixed-512")
    assert vit.endswith("-fp16")
    computed, again = used["new"]
    assert all(count > 0 for count in computed)
    assert again == [0, 0]


def test_its_keys_are_part_of_the_teachers_identity(used):
    assert used["identity"]["library"] == "patches"
    assert used["identity"]["settings"] == {"patch": 8}
    assert used["identity"]["tap"] == {"block": -1, "final_norm": False}


def test_runs_report_the_teachers_that_they_distilled(used):
    assert len(used["runs"]) == 3
    for run in used["runs"]:
        assert run["method"] == "nearest"
        assert run["features"]["source"] == "cached"
        assert run["features"]["teachers"] == ["grid", "vit"]
        assert run["features"]["codecs"] == ["fixed-512", "fp16"]


def test_runs_that_differ_in_its_key_are_not_seeds_of_one_group(used):
    assert used["groups"] == {"weight 1": 1, "weight 4": 2}


def test_runs_are_scored_by_its_protocol(used):
    assert all(halved == ours / 2 for halved, ours in used["miou"])
    assert "The mean IoU is half of ours." in used["page"]


def test_the_report_has_its_losses_with_their_captions(used):
    assert "loss_nearest" in used["page"]
    assert "distance to the nearest thing" in used["page"]


def test_the_cache_plan_weighs_its_codec(used):
    assert [choice for choice, *_ in used["choices"]] == [
        *("fp16", "int8", "transform", "fixed", "as configured")
    ]
    assert used["choices"][-1] == ["as configured", "fixed-512", "fp16"]
    assert used["choices"][3] == ["fixed", "fixed-512", "fixed-256"]


def test_its_keys_are_explained(used):
    (explained,) = used["explained"]
    assert explained["description"] == "weight of the distance in the loss."
    assert (explained["type"], explained["default"]) == ("number, >= 0", "1.0")


def test_the_command_line_lists_its_parts_and_refuses_a_broken_package(installed, tmp_path):
    done = python(installed, "-m", "cli.main", "config", "kinds")
    assert done.returncode == 0, done.stderr
    for name in ("nearest", "patches", "fixed", "halved"):
        assert name in done.stdout
    install(tmp_path, "broken", {"rsmtdf.methods": {"broken": "broken.rows:METHOD"}})
    done = python(tmp_path, "-m", "cli.main", "config", "show", "demo")
    assert done.returncode == 1
    assert "the method 'broken' of the package broken cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
