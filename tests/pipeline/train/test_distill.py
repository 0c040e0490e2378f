"""Distillation alone: it trains the encoder and the translators, and nothing else, from cached tokens."""

import pytest
import torch
from safetensors.torch import load_file

import rsmtdf_core.training.loop
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.extract.run import extract
from pipeline.train.run import train
from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.runs.checkpoint import newest_checkpoint
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.student.dpt import DPTHead
from rsmtdf_core.student.model import Student
from tests.pipeline.helpers import Messages

DISTILL = ("objective.method=distill", "optimiser.batch=4", "optimiser.epochs=1")


@pytest.fixture
def distilled(make_config):
    """Extracts the features and trains by distill with further overrides."""

    def run(*overrides, name="distilled"):
        config = make_config(*DISTILL, *overrides)
        extract(config)
        return train(config, config.runtime.runs / name)

    return run


def losses(run):
    return [line["loss_distill"] for line in open_run(run).read_metrics()]


def test_only_the_encoder_and_the_translators_move_and_have_moments(distilled, make_config):
    first = distilled("optimiser.max_steps=1", "optimiser.lr=1e-30", name="first").run
    last = distilled("optimiser.lr=0.01", name="last").run
    before, after = (newest_checkpoint(run / "checkpoints")[0].path for run in (first, last))
    old, new = (load_file(path / "student.safetensors") for path in (before, after))
    moved = {name.partition(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"encoder", "translators"}
    moments = load_file(after / "optimiser.safetensors")
    parts = {name.partition(".")[0] for name in moments if not name.startswith("rng")}
    assert parts == {"encoder", "translators"}
    ema = load_file(after / "ema.safetensors")
    assert all(torch.equal(ema[name], tensor) for name, tensor in new.items())
    assert open_run(last).validations == []


def test_no_view_is_decoded_no_label_made_and_no_average_taken(distilled, monkeypatch):
    calls = []

    def refuse(*_arguments, **_options):
        raise AssertionError("the head ran")

    monkeypatch.setattr(DPTHead, "forward", refuse)
    monkeypatch.setattr(Student, "logits", refuse)
    average = rsmtdf_core.training.loop.update_ema

    def counted(ema, student, ratio):
        calls.append(ratio)
        average(ema, student, ratio)

    monkeypatch.setattr(rsmtdf_core.training.loop, "update_ema", counted)
    report = distilled()
    assert report.steps == 2
    # Copied for the one checkpoint.
    assert calls == [0.0]


def test_every_teacher_and_pass_is_computed_once(distilled, monkeypatch):
    sizes = []
    taps = Student._taps

    def counted(student, images, *scale):
        sizes.append(images.shape[-1])
        return taps(student, images, *scale)

    monkeypatch.setattr(Student, "_taps", counted)
    own = ("student.encoder=test_vit", "optimiser.max_steps=1", "evaluation.inference.window=64")
    vit = "teachers.vit.input_size=32"
    distilled(*own, vit, name="both")
    assert sizes == [64, 32]
    sizes.clear()
    distilled(*own, vit, "objective.distillation.teachers=[vit]", name="small")
    assert sizes == [32], "no translator reads the pass at full size"


def test_pixels_from_the_cache_give_the_losses_of_rendered_ones(distilled):
    rendered = losses(distilled(name="rendered").run)
    cached = losses(distilled("runtime.cache_pixels=true", name="cached").run)
    workers = losses(distilled("runtime.workers=1", name="workers").run)
    assert rendered == cached == workers


@pytest.mark.parametrize("sees", ["mixed", "strong", "weak"])
@pytest.mark.parametrize("samples", ["both", "labeled", "unlabeled"])
def test_every_kind_of_view_is_distilled(distilled, sees, samples):
    chosen = (f"views.teacher_sees={sees}", f"objective.distillation.samples={samples}")
    losses_of_run = losses(distilled(*chosen).run)
    assert losses_of_run
    assert all(0 < loss < 100 for loss in losses_of_run)


def test_a_batch_larger_than_the_data_and_scenes_without_unlabeled_ones_train(distilled):
    report = distilled("optimiser.batch=32", "data.labeled=1")
    assert report.steps == 1
    assert losses(report.run)[0] > 0


def test_unlabeled_samples_of_labeled_scenes_are_refused(distilled):
    with pytest.raises(ConfigError, match="no pair of unlabeled scenes"):
        distilled("data.labeled=1", "objective.distillation.samples=unlabeled")


def test_without_teachers_it_is_refused(make_config):
    with pytest.raises(ConfigError, match="distill needs teachers"):
        train(make_config(*DISTILL, "teachers=[]"))


def test_what_needs_a_head_refuses_the_run_and_names_the_next_command(distilled, tmp_path):
    run = distilled().run
    uses = (lambda: evaluate(run), lambda: export_run(run, tmp_path / "out", "safetensors"))
    for use in uses:
        with pytest.raises(RunError, match="distill does not train the head") as caught:
            use()
        assert f"--init-from {run}" in caught.value.remedy


@pytest.mark.parametrize("method", ["supervised", "rs-mtdf", "distill"])
def test_any_method_goes_on_from_its_encoder_with_a_head_of_its_own(distilled, make_config, method):
    run = distilled().run
    config = make_config(f"objective.method={method}", "optimiser.max_steps=1", "seed=5")
    reporter = Messages()
    report = train(config, config.runtime.runs / "next", init_from=run, reporter=reporter)
    (sentence,) = [line for line in reporter.lines if "starting from" in line]
    assert "distill does not train head and fusion, so they are randomly initialized" in sentence
    source = newest_checkpoint(run / "checkpoints")[0].weights("ema")
    started = load_file(report.run / "checkpoints/step-00000000/student.safetensors")
    units = {name.partition(".")[0] for name in started}
    assert units == ({"encoder", "head"} if method == "supervised" else {*units, "translators"})
    for name, tensor in started.items():
        if name.partition(".")[0] in {"encoder", "translators"}:
            assert torch.equal(tensor, source[name]), name
        elif tensor.ndim > 1:
            assert not torch.equal(tensor, source[name]), name


@pytest.mark.parametrize("pixels", [False, True])
def test_fresh_labeled_views_have_no_tokens_and_are_left_out(distilled, pixels):
    fresh = ("views.labeled_views=fresh", f"runtime.cache_pixels={str(pixels).lower()}")
    assert losses(distilled(*fresh).run)
    with pytest.raises(ConfigError, match=r"views\.labeled_views"):
        distilled(*fresh, "objective.distillation.samples=labeled", name="labeled")
