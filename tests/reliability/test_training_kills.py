"""A training that is killed goes on to the same bits, wherever it was killed."""

import random
import shutil
import signal
import time

import pytest
import torch

from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.extract.run import extract
from tests.reliability import training

KILLED = -signal.SIGKILL

CONFIG = """
name: tiny
data: {manifest: synthetic, root: SCENES, labeled: 1/4}
views: {crop: 64, scale: [0.6, 1.2], unlabeled_views: 2, labeled_views: 2}
teachers:
  - {name: cnn, family: timm, model: test_efficientnet, weights: random, block: 2}
student: {encoder: test_efficientnet, weights: random, translator_hidden: 16}
objective: {confidence: 0.3}
optimiser: {lr: 0.002, multiplier: 1, epochs: 2, batch: 2, ema: 0.9}
evaluation: {inference: {mode: slide, window: 64, overlap: 0, batch: 4}}
runtime: {device: cpu, workers: 0, cache: CACHE, runs: RUNS, log_every: 1, checkpoint_every: 3}
"""


@pytest.fixture
def make(tmp_path):
    """The config with overrides: two epochs of four steps, a checkpoint at 3, 4, 6 and 8."""
    torch.set_num_threads(1)
    draw_scenes(tmp_path / "scenes", 14, 72, seed=3)
    text = CONFIG.replace("SCENES", str(tmp_path / "scenes"))
    file = tmp_path / "tiny.yaml"
    file.write_text(
        text.replace("CACHE", str(tmp_path / "cache")).replace("RUNS", str(tmp_path / "runs"))
    )
    return lambda *overrides: load_config(str(file), overrides)


def _whole(config, folder):
    assert training.forked(config, folder / "whole") == 0
    return training.result(folder / "whole")


@pytest.mark.parametrize(
    "method", ["rs-mtdf", pytest.param("unimatch-v2", marks=pytest.mark.reliability)]
)
def test_a_training_killed_at_several_steps_ends_with_the_same_bits(make, tmp_path, method):
    config = make(f"objective.method={method}")
    if method == "rs-mtdf":
        extract(config)
    expected = _whole(config, tmp_path)
    run = tmp_path / "killed"
    for arm in (
        training.at_step(1),  # before anything is saved
        training.at_step(3),  # in mid-epoch, at the first step that a resumed run takes
        training.before("shared_confusion"),  # the epoch is saved, and not validated
        training.at_step(4),
        training.at_step(6),
        training.before("shared_confusion"),
    ):
        assert training.forked(config, run, arm) == KILLED
    assert training.forked(config, run) == 0
    training.assert_same(expected, training.result(run))


@pytest.mark.reliability
def test_a_training_killed_before_any_change_to_its_folder_ends_with_the_same_bits(make, tmp_path):
    config = make("objective.method=supervised", "runtime.keep_best=2")
    noted = tmp_path / "changes"
    assert training.forked(config, tmp_path / "whole", training.noting(noted)) == 0
    expected = training.result(tmp_path / "whole")
    names = noted.read_text().split("\n")[:-1]
    for number, name in enumerate(names, 1):
        run = tmp_path / "killed"
        shutil.rmtree(run, ignore_errors=True)
        assert training.forked(config, run, training.at_change(number)) == KILLED, name
        # Going on is disturbed too.
        training.forked(config, run, training.at_change(1 + number % 17))
        assert training.forked(config, run) == 0, f"killed before change {number}: {name}"
        training.assert_same(expected, training.result(run))
    print(f"{len(names)} kills before {len(set(names))} kinds of changes")
    assert len(set(names)) > 15


@pytest.mark.reliability
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("method", ["fixmatch", "unimatch-v2", "rs-mtdf"])
def test_trainings_killed_at_random_moments_end_with_the_same_bits(make, tmp_path, method, workers):
    config = make(f"objective.method={method}", f"runtime.workers={workers}", "optimiser.epochs=4")
    if method == "rs-mtdf":
        extract(config)
    began = time.monotonic()
    expected = _whole(config, tmp_path)
    seconds = time.monotonic() - began
    kills, moments = 0, random.Random(time.time_ns())
    while kills < 12:
        run = tmp_path / "killed"
        shutil.rmtree(run, ignore_errors=True)
        for _ in range(4):
            code = training.forked(config, run, delay=moments.uniform(0, 0.7) * seconds)
            kills += code == KILLED
        assert training.forked(config, run) == 0
        training.assert_same(expected, training.result(run))
    print(f"{kills} kills of a training that takes {seconds:.1f} s")
