"""A training that diverges stops before anything of it is saved, validated or logged."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import pipeline.train.session
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.predict import predict
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.runs.checkpoint import checkpoints_in, load_checkpoint
from rsmtdf_core.runs.checkpoint_state import checkpoint_fingerprint, read_state
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.runs.seals import write_sealed_json
from rsmtdf_core.training.methods.fixmatch import FixMatch

FIXMATCH = ("objective.method=fixmatch", "optimiser.epochs=2", "runtime.keep_checkpoints=9")


@pytest.fixture
def spoil(monkeypatch):
    """Makes a loss term NaN from a step on, or the gradient alone."""

    def arm(step, term):
        compute = FixMatch.__call__

        def spoiled(self, models, batch, targets, counts):
            losses = compute(self, models, batch, targets, counts)
            if batch.step < step:
                return losses
            if term == "gradients":
                losses["loss"].register_hook(lambda gradient: gradient * torch.nan)
                return losses
            losses[term] = losses[term] * torch.nan
            return losses | {"loss": losses["loss_x"] + losses["loss_u"]}

        monkeypatch.setattr(FixMatch, "__call__", spoiled)

    return arm


@pytest.mark.parametrize("term", ["loss_x", "loss_u", "gradients"])
@pytest.mark.parametrize("log_every", [1, 100])
def test_the_term_and_the_step_are_named_and_no_checkpoint_is_saved(
    make_config, spoil, term, log_every
):
    config = make_config(*FIXMATCH, "runtime.checkpoint_every=3", f"runtime.log_every={log_every}")
    spoil(5, term)
    with pytest.raises(RunError, match=term) as caught:
        train(config)
    assert "step 5" in caught.value.what
    assert "--set optimiser.lr=0.0002" in caught.value.remedy
    assert "fp32" not in caught.value.remedy, "the run is in fp32 already"
    run = open_run(config.run_folder)
    assert [path.name for path in checkpoints_in(run.checkpoints)] == [
        "step-00000003",
        "step-00000004",
    ]
    assert max(line["step"] for line in run.read_metrics()) < 5
    evaluate(run.path)


def test_another_precision_is_proposed_to_a_run_in_bf16(make_config, spoil):
    spoil(0, "loss_u")
    with pytest.raises(RunError, match="loss_u") as caught:
        train(make_config(*FIXMATCH, "runtime.precision=bf16"))
    assert "runtime.precision=fp32" in caught.value.remedy


def test_weights_that_overflow_at_the_last_step_are_not_saved(make_config, monkeypatch):
    config = make_config(*FIXMATCH, "optimiser.epochs=1")
    log = pipeline.train.session.Session._log

    def overflow(session, record):
        log(session, record)
        if record.step == 3:
            with torch.no_grad():
                next(session._training.student.parameters()).fill_(torch.inf)

    monkeypatch.setattr(pipeline.train.session.Session, "_log", overflow)
    with pytest.raises(RunError, match="not finite after step 3: student encoder"):
        train(config)
    assert not checkpoints_in(open_run(config.run_folder).checkpoints)


def test_a_model_whose_output_overflows_is_not_scored(make_config):
    config = make_config(*FIXMATCH, "optimiser.max_steps=1", "optimiser.lr=1e30")
    with pytest.raises(RunError, match="not finite"):
        train(config)
    run = open_run(config.run_folder)
    assert not any("miou" in line for line in run.read_metrics())
    with pytest.raises(RunError, match="not finite"):
        evaluate(run.path)


@pytest.fixture
def spoiled(make_config, tmp_path):
    """A run whose best checkpoint holds NaN under whole digests, as earlier versions may have saved it."""
    run = train(make_config(*FIXMATCH, "optimiser.epochs=1")).run
    shutil.rmtree(run / "checkpoints")
    (best,) = checkpoints_in(run / "best")
    for which in ("ema", "student"):
        file = best / f"{which}.safetensors"
        tensors = load_file(file)
        name = min(name for name, tensor in tensors.items() if tensor.is_floating_point())
        tensors[name][...] = torch.nan
        save_file(tensors, file)
    state, digests = read_state(best)
    digests = {name: file_sha256(best / name) for name in digests}
    write_sealed_json(best / "state.json", state | {"digests": digests})
    named = [{"step": state["step"], "checkpoint": checkpoint_fingerprint(state, digests)}]
    open_run(run).note(best=named)
    return run, name


def test_weights_that_are_not_finite_are_refused_by_name(spoiled, make_config, scenes, tmp_path):
    run, name = spoiled
    image = min((scenes / "images").iterdir())
    uses = (
        lambda: evaluate(run),
        lambda: evaluate(run, weights="student"),
        lambda: predict(run, [image], tmp_path / "maps"),
        lambda: export_run(run, tmp_path / "out", "safetensors"),
        lambda: train(make_config(*FIXMATCH, "name=next"), init_from=run),
        lambda: load_checkpoint(next(iter(checkpoints_in(run / "best")))).weights("ema"),
    )
    for use in uses:
        with pytest.raises(RunError, match=name) as caught:
            use()
        assert caught.value.where.endswith(".safetensors")
    assert not (tmp_path / "maps").exists()


def test_a_weights_file_that_is_not_finite_is_refused_by_name(make_config, tmp_path):
    save_file({"encoder.x": torch.tensor([torch.nan])}, tmp_path / "x.safetensors")
    with pytest.raises(RunError, match=r"encoder\.x") as caught:
        train(make_config(*FIXMATCH), init_from=tmp_path / "x.safetensors")
    assert caught.value.where == str(tmp_path / "x.safetensors")
