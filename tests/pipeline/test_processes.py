"""Two processes train what one does with the same global batch."""

import os
import subprocess
import sys

import pytest
import torch

from pipeline.extract import extract
from pipeline.train import train
from rsmtdf_core.training.checkpoint import newest_checkpoint
from rsmtdf_core.training.run_folder import open_run

# No batch norm: its statistics are those of each process's own part of the batch.
STUDENT = ("student.encoder=test_vit", "evaluation.inference.window=64")


def torchrun(config_file, overrides, processes=2):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += [f"--nproc-per-node={processes}", "-m", "cli.main", "train", str(config_file)]
    for override in overrides:
        words += ["--set", override]
    done = subprocess.run(
        words,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rs-mtdf", "unimatch-v2"])
def test_two_processes_compute_what_one_does_with_the_same_global_batch(
    config_file, make_config, method
):
    settings = (*STUDENT, f"objective.method={method}", "optimiser.epochs=2")
    one = make_config(*settings, "optimiser.batch=4", "name=one")
    extract(one)
    alone = open_run(train(one).run)
    torchrun(config_file, (*settings, "optimiser.batch=2", "name=two"))
    together = open_run(make_config(*settings, "name=two").run_folder)
    for own, other in zip(alone.read_metrics(), together.read_metrics(), strict=True):
        assert own.keys() == other.keys()
        for name in own.keys() & {"step", "lr", "loss", "loss_x", "loss_u", "loss_distill", "miou"}:
            assert other[name] == pytest.approx(own[name], rel=1e-4, abs=1e-6), name
    first, second = (newest_checkpoint(run.checkpoints)[0] for run in (alone, together))
    for which in ("student", "ema"):
        theirs = second.weights(which)
        for name, weight in first.weights(which).items():
            torch.testing.assert_close(theirs[name], weight, rtol=1e-3, atol=2e-5, msg=name)
