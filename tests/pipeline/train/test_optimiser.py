"""Runs with layer decay, warm-up and frozen parts of the encoder: kept, resumed and described like any other."""

import pytest
import torch
from safetensors.torch import load_file

import pipeline.train.session
from pipeline.plan import plan_experiment
from pipeline.train.features import find_features
from pipeline.train.run import train
from pipeline.train.setup import make_accelerator, make_training
from rsmtdf_core.runs.checkpoint import newest_checkpoint
from rsmtdf_core.runs.folder import open_run
from tests.pipeline.helpers import SUPERVISED, Messages

SETTINGS = (
    "objective.method=fixmatch",
    "optimiser.warmup=3",
    "optimiser.layer_decay=0.5",
    "optimiser.lr_delay=1",
    "student.frozen_stages=1",
    "student.frozen_batch_norm=true",
)


class Stopped(BaseException):
    pass


def tensors(run):
    newest, _ = newest_checkpoint(run / "checkpoints")
    names = ("student", "ema", "optimiser")
    return {name: load_file(newest.path / f"{name}.safetensors") for name in names}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_stopped_run_ends_with_the_same_bits(make_config, monkeypatch, accumulate):
    config = make_config(
        *SETTINGS, "runtime.checkpoint_every=3", f"runtime.accumulate={accumulate}",
        f"optimiser.batch={2 * accumulate}",
    )  # fmt: skip
    whole = train(config, config.runtime.runs / "whole").run
    part, after = config.runtime.runs / "part", pipeline.train.session.Session._after

    def stop(session, record):
        after(session, record)
        if record.step == 2:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.session.Session, "_after", stop)
        with pytest.raises(Stopped):
            train(config, part)
    assert open_run(part).facts["status"] != "finished"
    train(config, part, resume=True)
    expected, found = tensors(whole), tensors(part)
    for name, state in expected.items():
        assert state.keys() == found[name].keys()
        assert all(torch.equal(tensor, found[name][key]) for key, tensor in state.items()), name


def test_frozen_parts_keep_their_weights_and_have_no_moments(make_config):
    config = make_config(*SETTINGS, "optimiser.epochs=1")
    experiment = plan_experiment(config)
    accelerator = make_accelerator(config)
    training = make_training(experiment, find_features(experiment, accelerator.device), accelerator)
    before = {name: tensor.clone() for name, tensor in training.student.state_dict().items()}
    names = [name for name, value in training.student.named_parameters() if not value.requires_grad]
    assert names
    saved = tensors(train(config).run)
    for model in ("student", "ema"):
        assert all(torch.equal(saved[model][name], before[name]) for name in names)
    moments = {key.rpartition("/")[0] for key in saved["optimiser"]} - {""}
    assert moments == {name for name, _ in training.student.named_parameters()} - {*names}
    buffers = [name for name, _ in training.student.named_buffers() if name.startswith("encoder.")]
    assert buffers
    assert all(torch.equal(saved["student"][name], before[name]) for name in buffers)


def test_each_group_trains_at_its_share_of_the_recorded_rate(make_config):
    config = make_config(*SETTINGS, "optimiser.multiplier=7", "optimiser.epochs=1")
    experiment = plan_experiment(config)
    accelerator = make_accelerator(config)
    training = make_training(experiment, find_features(experiment, accelerator.device), accelerator)
    rates = []
    for record in training.steps():
        shares = [group["lr"] / record.lr for group in training.optimiser.param_groups]
        assert shares == pytest.approx([0.5**3, 0.5**2, 0.5, 1, 7])
        rates.append(record.lr)
    total = training.total_steps
    decay = [(1 - max(0, step - 1) / total) ** 0.9 for step in range(total)]
    warm = [min(1, (max(0, step - 1) + 1) / 3) for step in range(total)]
    assert rates == pytest.approx([0.002 * a * b for a, b in zip(decay, warm, strict=True)])


def test_the_user_hears_of_the_warm_up_and_of_settings_that_cannot_be_meant(make_config):
    reporter = Messages()
    overrides = ("optimiser.max_steps=2", "optimiser.warmup=0.5")
    train(make_config(*SUPERVISED, *overrides), reporter=reporter)
    assert any("lr 0.002 (scale_lr: none) after 1 steps of warm-up" in x for x in reporter.lines)
    assert not any(line.startswith("warning") for line in reporter.lines)
    overrides = ("optimiser.max_steps=2", "optimiser.warmup=5", "student.frozen_stages=all")
    train(make_config(*SUPERVISED, *overrides), overwrite=True, reporter=reporter)
    warnings = [line for line in reporter.lines if line.startswith("warning")]
    assert len(warnings) == 2
    assert "optimiser.warmup is 5 steps, but the training has 2" in warnings[0]
    assert "student.weights is random" in warnings[1]
