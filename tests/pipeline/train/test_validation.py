"""Validation shared by processes gives the same counts as a single process."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.plan import plan_experiment
from pipeline.train.validation import shared_confusion
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF
from rsmtdf_core.evaluation.scoring import count_confusion, scored_scenes
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.student.model import Student

ALONE = SimpleNamespace(
    process_index=0,
    num_processes=1,
    device=torch.device("cpu"),
    reduce=lambda counts, _reduction: counts,
)
SHARED = """
import os
import sys
import numpy as np
from accelerate import Accelerator
from pipeline.config import load_config
from pipeline.train.validation import shared_confusion
from tests.pipeline.train.test_validation import scoring_of

accelerator = Accelerator(cpu=True)
student, reader, scenes, inference = scoring_of(load_config(sys.argv[1]))
counts = shared_confusion(student, reader, scenes, inference, accelerator, leaving=lambda: False)
left = shared_confusion(
    student, reader, scenes, inference, accelerator, leaving=lambda: accelerator.process_index == 1
)
assert left is None, "all leave where one does"
np.savez(f"{sys.argv[2]}/{accelerator.process_index}.npz", **counts._asdict())
# Torn down at once, an interpreter may find a thread of gloo still at work, and aborts.
os._exit(0)
"""


class PartlyIgnored(SceneReader):
    """The upper third of every mask is ignored."""

    def mask(self, scene):
        mask = super().mask(scene).copy()
        mask[: len(mask) // 3] = 255
        return mask


def scoring_of(config):
    """The same student of random weights in every process, and five scenes to score."""
    experiment = plan_experiment(config)
    dataset = experiment.dataset
    torch.manual_seed(0)
    student = Student(config.student, len(dataset.manifest.classes), config.views.crop, ())
    scenes = scored_scenes((*dataset.splits["val"], *dataset.splits["train"]))[:5]
    return student, PartlyIgnored(dataset), scenes, config.evaluation.inference


@pytest.mark.reliability
def test_every_scene_counts_once_in_three_processes(
    make_config, config_file, tmp_path, pytestconfig
):
    student, reader, scenes, inference = scoring_of(make_config())
    assert len(scenes) == 5
    expected = count_confusion(student, reader, scenes, inference)
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += ["--nproc-per-node=3", str(script), str(config_file), str(tmp_path)]
    done = subprocess.run(
        words,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(pytestconfig.rootpath)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for process in range(3):
        counts = np.load(tmp_path / f"{process}.npz")
        np.testing.assert_array_equal(counts["matrix"], expected.matrix)
        np.testing.assert_array_equal(counts["ignored"], expected.ignored)
    assert expected.ignored.sum() > 0
    assert RSMTDF.score(expected, reader.dataset.manifest).miou > 0


def test_a_process_alone_counts_every_pixel_of_every_scene_once(make_config):
    student, reader, scenes, inference = scoring_of(make_config())
    counts = shared_confusion(student, reader, scenes, inference, ALONE, leaving=lambda: False)
    masks = [reader.mask(scene) for scene in scenes]
    assert counts.matrix.sum() == sum(int((mask != 255).sum()) for mask in masks)
    assert counts.ignored.sum() == sum(int((mask == 255).sum()) for mask in masks) > 0


def test_leaving_is_asked_for_after_each_scene(make_config):
    asked = []

    def leaving():
        asked.append(True)
        return len(asked) == 3

    scoring = scoring_of(make_config())
    assert shared_confusion(*scoring, ALONE, leaving=leaving) is None
    assert len(asked) == 3
