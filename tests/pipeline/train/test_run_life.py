"""A run that was stopped goes on as if it never had been, however it was stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import pipeline.train.session
import pipeline.train.signals
from cli.main import app
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.train.run import train
from pipeline.train.signals import Interrupted
from pipeline.trained import load_run
from rsmtdf_core.errors import MissingFileError, RunError
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF
from rsmtdf_core.runs.checkpoint import checkpoints_in, newest_checkpoint
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.runs.resuming import GlobalBatch
from rsmtdf_core.runs.starting import prepare_run
from rsmtdf_core.scenes.manifest import load_manifest
from tests.pipeline.helpers import SUPERVISED, Killed, Messages, assert_same

STATE = (
    "runtime.checkpoint_every=3",
    "objective.class_weights=balanced",
    "objective.thresholds=self-adaptive",
    "objective.threshold_momentum=0.8",
    "objective.distillation.targets=phi-s",
    "objective.distillation.final_weight=0",
)


FRESH = ("views.labeled_views=fresh", "runtime.checkpoint_every=3")


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("unimatch-v2", ()),
        ("unimatch-v2", ("views.unlabeled_views=fresh", *FRESH)),
        # Lines with the means of intervals that begin before a checkpoint and end after it.
        ("rs-mtdf", ("runtime.checkpoint_every=3", "runtime.log_every=5")),
        ("rs-mtdf", FRESH),
        ("distill", ()),
        ("distill", ("runtime.log_every=4", STATE[0], *STATE[-2:])),
        ("rs-mtdf", STATE),
        ("unimatch-v2", STATE[:-2]),
    ],
)
def test_a_run_killed_at_any_step_ends_with_the_same_bits(
    make_config, kill_after, method, settings
):
    settings = (f"objective.method={method}", "optimiser.epochs=2", *settings)
    config = make_config(*settings)
    if config.teacher_source != "none":
        extract(config)
    whole = train(config, config.runtime.runs / "whole")
    killed = config.runtime.runs / "killed"
    epoch = whole.steps // 2  # methods differ in the scenes of an epoch
    # The first start dies before the end of the first epoch, and the second after it. The third has enough steps only
    # if it resumes from a checkpoint.
    for steps, ends in ((epoch - 1, False), (epoch, False), (epoch, True)):
        disarm = kill_after(steps)
        resume = killed.is_dir()
        if ends:
            train(config, killed, resume=resume)
        else:
            with pytest.raises(Killed):
                train(config, killed, resume=resume)
        disarm()
    assert_same(whole.run, killed)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_saves_the_step_in_work_and_the_run_goes_on_to_the_same_bits(
    make_config, monkeypatch, name
):
    config = make_config(*SUPERVISED, "optimiser.epochs=2")
    whole = train(config, config.runtime.runs / "whole").run
    after = pipeline.train.session.Session._after

    def signalled(session, record):
        if record.step == 2:
            os.kill(os.getpid(), getattr(signal, name))
        after(session, record)

    part = config.runtime.runs / "part"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.session.Session, "_after", signalled)
        with pytest.raises(Interrupted, match=f"{name} after step 3 of 8") as caught:
            train(config, part)
    assert caught.value.status == 128 + getattr(signal, name)
    assert "--resume" in caught.value.remedy
    assert open_run(part).facts["status"] == "interrupted"
    assert newest_checkpoint(part / "checkpoints")[0].state["step"] == 3
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "the handlers are given back"
    report = train(config, part, resume=True)
    assert report.status == open_run(part).facts["status"] == "finished"
    assert_same(whole, part)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_process_ends_with_the_signals_code(config_file, make_config, number, status):
    words = [sys.executable, "-m", "cli.main", "train", str(config_file)]
    for override in (*SUPERVISED, "optimiser.epochs=5000", "evaluation.every=5000"):
        words += ["--set", override]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    metrics = make_config(*SUPERVISED).run_folder / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == status, stderr
    assert "interrupted:" in stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    checkpoint, _ = newest_checkpoint(metrics.parent / "checkpoints")
    logged = [line["step"] for line in open_run(metrics.parent).read_metrics()]
    assert checkpoint.state["step"] == logged[-1] + 1


def test_a_damaged_newest_checkpoint_is_skipped(make_config):
    config = make_config(*SUPERVISED, "optimiser.epochs=3")
    whole = train(config, config.runtime.runs / "whole").run
    part = config.runtime.runs / "part"
    shutil.copytree(whole, part)
    newest = checkpoints_in(part / "checkpoints")[-1] / "ema.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-5] ^= 1
    newest.unlink()  # it may be one file with the best checkpoint's
    newest.write_bytes(damaged)
    shutil.rmtree(part / "best" / newest.parent.name, ignore_errors=True)
    reporter = Messages()
    train(config, part, resume=True, reporter=reporter)
    assert any("skipping a damaged checkpoint" in line for line in reporter.lines)
    assert_same(whole, part)


def test_a_budget_of_steps_ends_a_run_and_its_schedule(make_config):
    report = train(make_config(*SUPERVISED, "optimiser.epochs=50", "optimiser.max_steps=3"))
    assert (report.steps, report.status) == (3, "finished")
    rates = [line["lr"] for line in open_run(report.run).read_metrics() if "lr" in line]
    assert rates[2] == pytest.approx(rates[0] * (1 / 3) ** 0.9)


def test_a_run_that_gets_no_better_stops_early(make_config):
    # With a tiny learning rate the model does not change, so that no validation beats the first.
    config = make_config(
        *SUPERVISED, "optimiser.epochs=9", "optimiser.lr=1e-12", "evaluation.patience=2"
    )
    report = train(config)
    assert report.status == open_run(report.run).facts["status"] == "stopped early"
    validations = [line for line in open_run(report.run).read_metrics() if "miou" in line]
    assert len(validations) == 3
    assert report.best_epoch == 1
    reporter = Messages()
    again = train(config, resume=True, reporter=reporter)
    assert again.status == "stopped early"
    assert any("the run is already" in line for line in reporter.lines)


def test_the_best_checkpoints_are_kept_and_the_very_best_is_scored(make_config, monkeypatch):
    config = make_config(
        *SUPERVISED, "optimiser.epochs=4", "runtime.keep_best=2", "runtime.keep_checkpoints=1"
    )
    scores = iter([0.3, 0.5, 0.2, 0.4])

    def ranked(*arguments):
        return RSMTDF.score(*arguments).model_copy(update={"miou": next(scores)})

    monkeypatch.setattr(pipeline.train.session, "RSMTDF", replace(RSMTDF, score=ranked))
    report = train(config)
    assert (report.best_epoch, report.best_miou) == (2, 0.5)
    steps = [int(path.name.removeprefix("step-")) for path in checkpoints_in(report.run / "best")]
    assert steps == [8, 16]
    assert load_run(report.run).checkpoint.state["step"] == 8
    assert len(checkpoints_in(report.run / "checkpoints")) == 1


def test_a_new_run_starts_from_anothers_weights(make_config):
    first = train(make_config(*SUPERVISED, "optimiser.epochs=1")).run
    extract(make_config())
    reporter = Messages()
    config = make_config("optimiser.epochs=1", "optimiser.lr=1e-12")
    report = train(config, init_from=first, reporter=reporter)
    source, started = load_run(first).student.state_dict(), load_run(report.run, "student").student
    for name, tensor in started.state_dict().items():
        if name in source and "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(tensor, source[name], atol=1e-6, rtol=0)
    line = next(line for line in reporter.lines if line.startswith("starting from"))
    assert "randomly initialized" in line
    assert "translators" in line
    facts = open_run(report.run).facts["initial"]
    assert facts["fingerprint"] == newest_checkpoint(first / "best")[0].fingerprint


def test_weights_of_another_encoder_are_refused(make_config, tmp_path):
    first = train(make_config(*SUPERVISED, "optimiser.epochs=1")).run
    other = make_config(*SUPERVISED, "student.encoder=test_vit", "name=other")
    with pytest.raises(RunError, match="do not fit"):
        train(other, init_from=first)
    assert not other.run_folder.exists()
    with pytest.raises(MissingFileError):
        train(other, init_from=tmp_path / "absent")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(RunError, match="do not fit"):
        train(other, init_from=tmp_path / "x.safetensors")


def test_a_run_from_other_weights_that_is_killed_early_resumes_from_them(make_config, kill_after):
    first = train(make_config(*SUPERVISED, "optimiser.epochs=1")).run
    config = make_config("objective.method=fixmatch", "optimiser.epochs=1", "seed=5")
    whole = train(config, config.runtime.runs / "whole", init_from=first).run
    part = config.runtime.runs / "part"
    disarm = kill_after(1)
    with pytest.raises(Killed):
        train(config, part, init_from=first)
    disarm()
    train(config, part, resume=True)
    assert_same(whole, part)


def test_words_that_contradict_each_other_are_refused(config_file):
    for words in (["--resume", "--overwrite"], ["--resume", "--init-from", "x"]):
        result = CliRunner().invoke(app, ["train", str(config_file), *words])
        assert result.exit_code == 2
        assert "--resume excludes" in result.output


def test_an_interrupted_run_can_be_scored(make_config, kill_after):
    config = make_config(*SUPERVISED, "optimiser.epochs=2", "runtime.checkpoint_every=1")
    disarm = kill_after(1)
    with pytest.raises(Killed):
        train(config)
    disarm()
    assert evaluate(config.run_folder)[0].images == 2


@pytest.mark.parametrize(
    ("started", "resumed", "proposed"),
    [
        (GlobalBatch(4, 4), GlobalBatch(8, 4), "or --set optimiser.batch=2"),
        (GlobalBatch(4, 4), GlobalBatch(1, 4), "or --set optimiser.batch=16"),
        (GlobalBatch(1, 2), GlobalBatch(2, 2), "--nproc-per-node 1"),
    ],
)
def test_a_resumed_run_keeps_its_global_batch(make_config, tmp_path, started, resumed, proposed):
    def prepare(batch, *, resume):
        config = make_config(f"optimiser.batch={batch.each}")
        prepare_run(
            folder, config, load_manifest("synthetic"), resume=resume, overwrite=False, batch=batch
        )

    folder = RunFolder(tmp_path / "run")
    prepare(started, resume=False)
    with pytest.raises(RunError, match=rf"\({started.processes} x {started.each}\)") as caught:
        prepare(resumed, resume=True)
    assert proposed in caught.value.remedy
    assert f"--nproc-per-node {started.processes}" in caught.value.remedy
    prepare(GlobalBatch(1, started.total), resume=True)
    prepare(started, resume=True)


def test_another_batch_in_one_process_is_refused(make_config):
    run = train(make_config(*SUPERVISED, "optimiser.epochs=1")).run
    with pytest.raises(RunError, match=r"trains 2 labeled crops per step \(1 x 2\)"):
        train(make_config(*SUPERVISED, "optimiser.epochs=1", "optimiser.batch=4"), run, resume=True)
