"""Extras of a training: its opening line, profile, trackers, and errors for too little memory or disk space."""

import json

import pytest
import torch

from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.runs.checkpoint import checkpoints_in
from rsmtdf_core.runs.folder import open_run
from tests.pipeline.helpers import SUPERVISED, Messages


def test_a_profile_is_a_trace_of_some_steps(make_config):
    reporter = Messages()
    config = make_config(*SUPERVISED, "optimiser.epochs=4")
    run = train(config, profile=True, reporter=reporter).run
    (trace,) = (run / "profile").iterdir()
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert any("conv" in name for name in names if name)
    assert any(str(trace) in line for line in reporter.lines)


def test_a_training_too_short_for_a_profile_warns(make_config):
    reporter = Messages()
    run = train(
        make_config(*SUPERVISED, "optimiser.max_steps=2"), profile=True, reporter=reporter
    ).run
    assert not (run / "profile").exists()
    assert any("no profile" in line for line in reporter.lines)


@pytest.mark.parametrize(
    ("settings", "proposed"),
    [
        (("optimiser.batch=8",), "runtime.accumulate=2"),
        (("optimiser.batch=8", "runtime.accumulate=4"), "runtime.activation_checkpointing=true"),
    ],
)
def test_too_little_memory_names_settings_that_need_less(
    make_config, monkeypatch, settings, proposed
):
    def exhausted(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    config = make_config(*SUPERVISED, *settings)
    with monkeypatch.context() as patch:
        patch.setattr("rsmtdf_core.training.methods.supervised.Supervised.__call__", exhausted)
        with pytest.raises(RunError, match=r"too small for . crops of 64 px") as caught:
            train(config)
    assert proposed in caught.value.remedy
    override = next(word for word in caught.value.remedy.split() if word.startswith("runtime."))
    train(
        make_config(*SUPERVISED, *settings, override.rstrip(";"), "optimiser.max_steps=1"),
        overwrite=True,
    )


def test_the_first_line_describes_the_training(make_config):
    reporter = Messages()
    settings = (
        "optimiser.max_steps=1",
        "optimiser.batch=4",
        "optimiser.scale_lr=linear",
        "optimiser.lr_batch=8",
    )
    train(make_config(*SUPERVISED, *settings), reporter=reporter)
    (line,) = (line for line in reporter.lines if line.startswith("supervised on"))
    assert "lr 0.001 (linear: 0.002 x 4 / 8)" in line
    assert "1 steps of 4 labeled crops" in line


def test_a_tracker_that_is_not_installed_is_refused_first(make_config, monkeypatch):
    monkeypatch.setattr("pipeline.train.trackers.find_spec", lambda _: None)
    config = make_config("runtime.trackers=[wandb]")
    with pytest.raises(ConfigError, match="wandb is not installed"):
        train(config)
    assert not config.run_folder.exists()


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_trackers_get_losses_and_scores(make_config, tracker, monkeypatch):
    pytest.importorskip(tracker)
    monkeypatch.chdir(make_config().runtime.runs.parent)
    config = make_config(*SUPERVISED, "optimiser.epochs=1", f"runtime.trackers=[{tracker}]")
    run = train(config).run
    assert open_run(run).facts["trackers"][tracker]
    if tracker == "wandb":
        assert list((run / "wandb").glob("offline-run-*"))
    else:
        stored = list((config.runtime.runs / "mlruns").rglob("metrics/val/miou"))
        assert len(stored) == 1


def test_a_checkpoint_is_hardly_larger_than_the_numbers_it_must_hold(make_config):
    run = train(make_config(*SUPERVISED, "optimiser.epochs=1", "student.encoder=test_vit")).run
    parameters = sum(parameter.numel() for parameter in load_run(run).student.parameters())
    held = sum(file.stat().st_size for file in checkpoints_in(run / "checkpoints")[-1].iterdir())
    # Weights, their average and two moments, four bytes each; these models are tiny.
    assert held < 16 * parameters * 1.1
