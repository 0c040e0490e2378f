"""Distillation before a method, in one run: the same as two runs, however it was stopped."""

import pytest
import torch
from safetensors.torch import load_file

import pipeline.train.session
from pipeline.explain import all_keys, explain
from pipeline.extract.run import extract
from pipeline.runs import read_run
from pipeline.runs.summary import summarize
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, RunError, StoreError
from rsmtdf_core.runs.folder import RunFolder, open_run
from tests.pipeline.helpers import Killed, Messages, assert_same

STEPS = 3
PRETRAIN = (
    f"objective.pretrain.steps={STEPS}",
    "objective.pretrain.lr=0.01",
    "objective.pretrain.batch=6",
    "optimiser.epochs=1",
)


@pytest.fixture
def extracted(make_config):
    """The small experiment's config maker, with its features in the cache."""
    extract(make_config())
    return make_config


def lines_of(run):
    lines = open_run(run).read_metrics()
    for line in lines:
        line.pop("seconds", None)
    return lines


@pytest.mark.parametrize("method", ["supervised", "unimatch-v2", "rs-mtdf"])
def test_a_pretrained_run_is_a_run_of_distill_and_one_that_starts_from_it(extracted, method):
    config = extracted(f"objective.method={method}", *PRETRAIN)
    chained = train(config).run
    alone = ("optimiser.epochs=9", f"optimiser.max_steps={STEPS}", "optimiser.lr=0.01")
    first = train(extracted("objective.method=distill", "optimiser.batch=6", *alone)).run
    config = extracted(f"objective.method={method}", "optimiser.epochs=1")
    second = train(config, config.runtime.runs / "second", init_from=first).run
    lines, before, after = lines_of(chained), lines_of(first), lines_of(second)
    assert [line["step"] for line in before] == [0, 1, 2]
    for line in before:
        assert line.pop("loss") == line["loss_distill"]
        line["phase"] = "pretrain"
    for line in after:
        line["step"] += STEPS
    assert lines == before + after
    assert lines[STEPS]["epoch"] == 0
    newest = [max((run / "checkpoints").iterdir()) for run in (chained, second)]
    for file in ("student", "ema", "optimiser"):
        ours, theirs = (load_file(path / f"{file}.safetensors") for path in newest)
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize(("method", "initial"), [("supervised", False), ("rs-mtdf", True)])
def test_a_run_killed_before_at_or_after_the_border_ends_with_the_same_bits(
    extracted, kill_after, method, initial
):
    source = None
    if initial:
        config = extracted("objective.method=rs-mtdf", "optimiser.max_steps=1", "seed=4")
        source = train(config, config.runtime.runs / "source").run
    config = extracted(f"objective.method={method}", *PRETRAIN, "runtime.checkpoint_every=1")
    runs = config.runtime.runs
    whole = train(config, runs / "whole", init_from=source).run
    for done in (STEPS - 1, STEPS, STEPS + 1):
        killed = runs / f"killed-{done}"
        disarm = kill_after(done)
        with pytest.raises(Killed):
            train(config, killed, init_from=source)
        disarm()
        assert max((killed / "checkpoints").iterdir()).name == f"step-{done:08d}"
        train(config, killed, resume=True)
        assert_same(whole, killed)


def test_a_kill_between_the_checkpoint_of_the_border_and_the_next_phase(extracted, monkeypatch):
    config = extracted("objective.method=supervised", *PRETRAIN)
    whole, killed = (config.runtime.runs / name for name in ("whole", "killed"))
    train(config, whole)

    def die(*_arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.session.Phases, "advance", die)
        with pytest.raises(Killed):
            train(config, killed)
    with pytest.raises(RunError, match="distill does not train the head"):
        load_run(killed)
    reporter = Messages()
    train(config, killed, resume=True, reporter=reporter)
    assert "resuming at step 3 of 7" in reporter.lines
    assert_same(whole, killed)


def test_the_first_checkpoint_of_the_method_may_be_used_and_those_before_not(extracted):
    config = extracted("objective.method=fixmatch", *PRETRAIN, "runtime.keep_checkpoints=9")
    run = train(config).run
    assert not {name.partition(".")[0] for name in load_run(run).student.state_dict()} & {
        "translators",
        "fusion",
    }
    with pytest.raises(RunError, match="distill does not train the head"):
        load_run(run, checkpoint=run / f"checkpoints/step-{STEPS:08d}")


def test_both_phases_are_announced_and_need_the_features(make_config):
    config = make_config("objective.method=supervised", *PRETRAIN)
    with pytest.raises(StoreError):
        train(config)
    assert not config.run_folder.exists()
    extract(config)
    reporter = Messages()
    train(config, reporter=reporter)
    openings = [line.partition(",")[0] for line in reporter.lines if " scenes: " in line]
    assert openings == [
        "distill on 2 labeled and 8 unlabeled scenes: 3 steps of 6 crops",
        "supervised on 2 labeled scenes: 4 steps of 2 labeled crops",
    ]
    assert any("RANDOM WEIGHTS" in line.upper() for line in reporter.lines)


def test_a_run_shows_that_it_was_taught(extracted):
    taught = train(extracted("objective.method=supervised", "name=taught", *PRETRAIN)).run
    plain = train(extracted("objective.method=supervised", "name=plain", "optimiser.epochs=1")).run
    records = [(run.name, read_run(run)) for run in (taught, plain)]
    features = summarize(*reversed(records[0])).features
    assert (features.source, features.teachers) == ("cached", ("vit", "cnn"))
    assert len(features.stores) == 2
    assert records[0][1].random_teachers == ("cnn", "vit")
    assert summarize(*reversed(records[1])).features.source == "none"
    assert records[0][1].total == STEPS + records[1][1].total


def test_teachers_of_both_phases_are_read_and_locked(extracted):
    config = extracted(
        *PRETRAIN,
        "objective.pretrain.distillation.teachers=[vit]",
        "objective.distillation.teachers=[cnn]",
    )
    assert [teacher.name for teacher in config.distilled] == ["vit", "cnn"]
    assert [[each.name for each in phase.distilled] for phase in config.phases] == [
        ["vit"],
        ["cnn"],
    ]
    run = train(config).run
    assert set(read_run(run).lock["stores"]) == {"vit", "cnn"}
    assert "translators.cnn" in {name[:15] for name in load_run(run).student.state_dict()}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (("teachers=[]", "objective.pretrain.steps=3"), "distillation needs teachers"),
        (("objective.pretrain.batch=3",), "objective.pretrain.batch"),
        (("objective.pretrain.steps=-1",), "objective.pretrain.steps"),
        (("objective.pretrain.lr=0",), "objective.pretrain.lr"),
        (
            ("objective.pretrain.distillation.teachers=[sam]",),
            "objective.pretrain.distillation.teachers: no teacher is named sam",
        ),
        (
            (*PRETRAIN, "runtime.accumulate=2", "optimiser.batch=4"),
            "2 parts of objective.pretrain.batch: 6 are not whole pairs",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(make_config, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make_config("objective.method=supervised", *settings)


def test_the_defaults_are_those_of_the_method(make_config):
    first, last = make_config("objective.pretrain.steps=5", "optimiser.batch=6").phases
    assert (first.optimiser.batch, first.optimiser.lr) == (12, last.optimiser.lr)
    assert (first.optimiser.max_steps, last.optimiser.max_steps) == (5, None)
    assert last.phases == (last,)
    plain = make_config()
    assert plain.phases == (plain,)


def test_a_batch_for_each_process_needs_as_many_processes_again(extracted, tmp_path):
    config = extracted("objective.method=supervised", *PRETRAIN)
    run = train(config).run
    folder = RunFolder(run)
    folder.note(batch={"processes": 2, "each": 1})
    with pytest.raises(RunError, match=r"12 crops per step \(2 x 6\)") as caught:
        train(config, run, resume=True)
    assert "--nproc-per-node 2" in caught.value.remedy


@pytest.mark.parametrize("key", [key for key in all_keys() if ".pretrain." in key])
def test_each_key_is_explained(key):
    for explanation in explain(key):
        assert explanation.description


def test_the_loss_of_the_first_steps_is_by_default_that_of_the_method(make_config):
    loss = ("objective.pretrain.steps=3", "objective.distillation.loss=cosine")
    assert make_config(*loss).phases[0].objective.distillation.loss == "cosine"
    first = make_config(*loss, "objective.pretrain.distillation.targets=centered").phases[0]
    assert (first.objective.distillation.loss, first.objective.token_targets) == ("mse", "centered")
    supervised = make_config(*loss, "objective.method=supervised").phases[0]
    assert supervised.objective.distillation.loss == "mse"


def test_a_model_without_an_encoder_is_not_pretrained(make_config):
    with pytest.raises(ConfigError, match="teacher-head has no encoder to distill"):
        make_config("objective.method=teacher-head", "objective.pretrain.steps=3")
