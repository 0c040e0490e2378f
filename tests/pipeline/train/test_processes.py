"""Two processes train the same as a single process with the same global batch."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import pipeline.train.session
from pipeline.extract.run import extract
from pipeline.train.run import train
from rsmtdf_core.runs.checkpoint import newest_checkpoint
from rsmtdf_core.runs.folder import open_run
from tests.pipeline.helpers import Killed, assert_same, near
from tests.pipeline.processes import train_together

# No batch norm that trains: its statistics are those of each process's own part of the batch.
STUDENT = ("student.encoder=test_vit", "evaluation.inference.window=64")


def torchrun(config_file, overrides, *options, processes=2):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += [
        f"--nproc-per-node={processes}",
        "-m",
        "--",
        "cli.main",
        "train",
        str(config_file),
        *options,
    ]
    for override in overrides:
        words += ["--set", override]
    done = subprocess.run(
        words,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# At a small rate AdamW, which divides by a gradient's size, does not amplify the rounding of gradients near zero;
# with every pseudo-label counted, none is at the threshold.
SETTINGS = (*STUDENT, "optimiser.epochs=2", "optimiser.lr=2e-4", "objective.confidence=0")


OPTIONS = (
    "objective.distillation.targets=phi-s",
    "objective.distillation.final_weight=0.2",
    "objective.distillation.teacher_weights={cnn: 0.5}",
    "objective.class_weights=balanced",
    "objective.region_loss=dice",
    # Below every confidence, so that none is at a threshold; the state moves nevertheless.
    "objective.thresholds=self-adaptive",
    "objective.threshold_momentum=0.99",
)


PRETRAINED = ("objective.pretrain.steps=3",)

PYRAMID = (
    "student.encoder=test_efficientnet",
    "student.frozen_batch_norm=true",
    "student.translator_input=pyramid",
    "views.labeled_views=fresh",
    "optimiser.epochs=1",
    *PRETRAINED,
)


def norm(tensors):
    return float(torch.stack([tensor.double().norm() for tensor in tensors]).norm())


def differences(tensors, others):
    """The norm of each tensor's difference, by name, the largest first."""
    assert tensors.keys() == others.keys()
    sizes = {name: norm([tensors[name] - others[name]]) for name in tensors}
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def first_moments(checkpoint):
    """AdamW's running means of the gradients: weighted sums over all steps, without a division."""
    tensors = load_file(checkpoint.path / "optimiser.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.endswith("/exp_avg")}


def method_tensors(checkpoint):
    tensors = load_file(checkpoint.path / "optimiser.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.startswith("method/")}


def require_equal_losses(alone, together):
    for expected, line in zip(alone.read_metrics(), together.read_metrics(), strict=True):
        assert expected.keys() == line.keys()
        for name in expected.keys() & {"step", "lr", "loss", "loss_x", "loss_u", "loss_distill"}:
            close = pytest.approx(expected[name], rel=1e-4, abs=1e-6)
            assert line[name] == close, (expected["step"], name)
        for name in expected.keys() & {
            "trusted_by_class",
            "threshold_by_class",
            "explained_variance",
        }:
            assert near(line[name], expected[name]), (expected["step"], name)


CASES = {
    "rs-mtdf": (),
    "unimatch-v2": (),
    "distill": (),
    "teacher-head": (),
    "supervised": PRETRAINED,
    "fixmatch": (
        "views.without_teachers=fresh",
        "student.frozen_stages=2",
        "optimiser.layer_decay=0.7",
        "optimiser.warmup=3",
    ),
    "rs-mtdf with options": OPTIONS,
    "rs-mtdf of a pyramid": PYRAMID,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache for all tests, as most have the same features."""
    return tmp_path_factory.mktemp("cache")


QUICK = ("rs-mtdf", "unimatch-v2", "teacher-head", "supervised", "rs-mtdf of a pyramid")


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case in QUICK else pytest.mark.reliability) for case in CASES],
)
def test_two_processes_compute_the_same_as_one_with_the_same_global_batch(
    config_file, make_config, cache, case
):
    chosen, method = CASES[case], case.partition(" ")[0]
    settings = (*SETTINGS, *chosen, f"objective.method={method}", f"runtime.cache={cache}")
    config = make_config(*settings, "optimiser.batch=4", "name=one")
    if "views.without_teachers=fresh" not in chosen:
        extract(config)
    alone = open_run(train(config).run)
    settings = (*settings, "optimiser.batch=2", "name=two")
    folder = make_config(*settings).run_folder
    train_together(config_file, settings, folder)
    together = open_run(folder)
    require_equal_losses(alone, together)
    first, second = (newest_checkpoint(run.checkpoints)[0] for run in (alone, together))
    gradients = first_moments(first)
    floor = 1e-5 * norm(gradients.values())
    for name, error in differences(gradients, first_moments(second)).items():
        size = norm([gradients[name]])
        assert error <= 1e-3 * size + floor, f"{name}: {error:.2e} apart, of norm {size:.2e}"
    ours, theirs = (method_tensors(checkpoint) for checkpoint in (first, second))
    assert ours.keys() == theirs.keys()
    assert bool(ours) == (case == "rs-mtdf with options")
    for name, tensor in ours.items():
        if name.endswith(".matrix"):
            continue  # eigenvectors of the same eigenvalue are arbitrary
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-5)
    for which in ("student", "ema"):
        weights = first.weights(which)
        errors = differences(weights, second.weights(which))
        error, size, most = (
            norm(map(torch.tensor, errors.values())),
            norm(weights.values()),
            [*errors.items()][:3],
        )
        assert error <= 1e-4 * size, (
            f"{which}: {error:.2e} apart, of norm {size:.2e}; most in {most}"
        )


@pytest.mark.reliability
def test_a_run_in_two_processes_goes_on_before_and_at_the_border_with_the_same_bits(
    config_file, make_config, cache
):
    settings = (*SETTINGS, *PYRAMID, "runtime.checkpoint_every=1", f"runtime.cache={cache}")
    config = make_config(*settings)
    extract(config)
    whole, killed = (config.runtime.runs / name for name in ("whole", "killed"))
    train_together(config_file, settings, whole)
    for step in (2, 3):
        train_together(config_file, settings, killed, resume=step > 2, dies_after=step)
        assert newest_checkpoint(killed / "checkpoints")[0].state["step"] == step
    train_together(config_file, settings, killed, resume=True)
    assert_same(whole, killed)


@pytest.mark.reliability
def test_a_run_goes_on_with_the_same_global_batch_in_more_processes(
    config_file, make_config, monkeypatch
):
    settings = (*SETTINGS, "objective.method=fixmatch", "optimiser.epochs=4")
    settings = (*settings, "runtime.checkpoint_every=1")
    config = make_config(*settings, "optimiser.batch=8")
    alone = open_run(train(config, config.runtime.runs / "alone").run)
    assert alone.facts["steps"] >= 4
    after = pipeline.train.session.Session._after

    def die(session, record):
        after(session, record)
        if record.step == 1:
            raise Killed

    monkeypatch.setattr(pipeline.train.session.Session, "_after", die)
    with pytest.raises(Killed):
        train(config, config.runtime.runs / "divided")
    divided = open_run(config.runtime.runs / "divided")
    assert newest_checkpoint(divided.checkpoints)[0].state["step"] == 2
    options = ("--run", str(divided.path), "--resume")
    torchrun(config_file, (*settings, "optimiser.batch=2"), *options, processes=4)
    assert divided.facts["status"] == "finished"
    require_equal_losses(alone, divided)
