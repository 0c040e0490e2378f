"""A head on cached tokens trains without its teachers, and predicts whole scenes with them."""

import json

import pytest
import torch
from safetensors.torch import load_file

import pipeline.models
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.extract.run import extract
from pipeline.predict import PredictSettings, predict
from pipeline.probe import open_source, probe
from pipeline.runs.compare import compare
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf.models import load_student
from rsmtdf_core.errors import ConfigError, RsmtdfError, RunError, TeacherError
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import load_teacher
from rsmtdf_core.weights.saving import save_tensors
from tests.pipeline.helpers import Messages

METHOD = ("objective.method=teacher-head", "data.labeled=1/2", "optimiser.lr=0.01")


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture
def loads(monkeypatch):
    """The teachers that predictions load, by name."""
    names = []

    def load(settings, crop, device):
        names.append(settings.name)
        return load_teacher(settings, crop, device)

    monkeypatch.setattr(pipeline.models, "load_teacher", load)
    return names


@pytest.mark.parametrize("head", ["linear", "dpt"])
def test_a_head_trains_from_the_store_and_is_scored_like_every_run(
    make_config, tmp_path, loads, head
):
    config = make_config(
        *METHOD, f"objective.head={head}", "optimiser.epochs=6", "evaluation.every=6"
    )
    extract(config)
    messages = Messages()
    result = train(config, reporter=messages)
    assert loads == ["vit", "cnn"]  # once, for the validation
    assert any("validations load the teachers vit, cnn" in line for line in messages.lines)
    measured = losses(result.run)
    assert sum(measured[-3:]) < sum(measured[:3])
    best = next((result.run / "best").iterdir())
    names = {name.split(".")[0] for name in load_file(best / "ema.safetensors")}
    assert names == {"head", "standardise"}

    scores, _ = evaluate(result.run)
    assert any("predictions need the teachers vit, cnn" in note for note in scores.notes)
    assert scores.random_teachers == ("vit", "cnn")
    image = min((config.data.root / "images").iterdir())
    [written] = predict(result.run, [image], tmp_path / "maps", PredictSettings())
    assert written.is_file()
    assert compare([result.run], None, "test").groups[0].runs[0].miou == scores.scores.miou
    report([result.run], tmp_path / "report.html", "test", 1, None, Messages())
    assert "predictions need the teachers" in (tmp_path / "report.html").read_text()
    logits = load_student(result.run, device="cpu")(torch.rand(1, 3, 70, 60))
    assert logits.shape[-2:] == (70, 60)

    with pytest.raises(RunError, match="without the teachers"):
        export_run(result.run, tmp_path / "exported", "safetensors")
    opened, run = open_source(str(result.run))
    with pytest.raises(RunError, match="no features to probe"):
        probe(opened, run, views=4)


def test_a_resumed_training_has_the_same_bits(make_config, tmp_path):
    imagenet = (  # with which, and this head, the best checkpoint is that of step 2
        "objective.head=dpt",
        "teachers.vit.mean=[0.485, 0.456, 0.406]",
        "teachers.vit.std=[0.229, 0.224, 0.225]",
    )
    config = make_config(*METHOD, *imagenet, "runtime.checkpoint_every=2")
    extract(config)
    common = (*METHOD, *imagenet, "optimiser.max_steps=4")
    whole = train(make_config(*common), tmp_path / "whole").run
    stopped = make_config(*common, "runtime.checkpoint_every=2")
    train(stopped, tmp_path / "parts")
    checkpoints = tmp_path / "parts" / "checkpoints"
    for path in checkpoints.iterdir():
        if path.name > "step-00000002":
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    resumed = train(stopped, tmp_path / "parts", resume=True).run
    name = "checkpoints/step-00000004/student.safetensors"
    first, second = load_file(whole / name), load_file(resumed / name)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_step_in_parts_has_the_same_loss(make_config, tmp_path):
    batch = ("optimiser.batch=4", "optimiser.max_steps=2")
    extract(make_config(*METHOD))
    whole = losses(train(make_config(*METHOD, *batch), tmp_path / "whole").run)
    parts = make_config(*METHOD, *batch, "runtime.accumulate=2")
    assert losses(train(parts, tmp_path / "parts").run) == pytest.approx(whole, rel=1e-4)


def test_labels_of_all_scenes_are_enough(make_config, tmp_path):
    config = make_config(
        *METHOD[::2], "data.labeled=1", "objective.tokens=[cnn]", "optimiser.max_steps=2"
    )
    extract(config)
    run = train(config, tmp_path / "run").run
    assert len(losses(run)) == 2
    state = json.loads((next((run / "best").iterdir()) / "state.json").read_text())
    assert [shape["teacher"] for shape in state["teachers"]] == ["cnn"]


@pytest.fixture
def on_file(make_config, tmp_path):
    """The config with the weights of its teacher in a file, and a function that writes them from a seed."""
    path = tmp_path / "cnn.safetensors"

    def write(seed):
        settings = TeacherSettings(
            name="cnn",
            family="timm",
            model="test_efficientnet",
            weights="random",
            seed=seed,
            block=2,
        )
        module = load_teacher(settings, 64)._module.model
        state = {k: v.contiguous() for k, v in module.state_dict().items()}
        save_tensors(state, path)

    write(0)
    words = (
        *METHOD,
        f"teachers.cnn.weights={path}",
        "objective.tokens=[cnn]",
        "optimiser.max_steps=1",
    )
    return make_config(*words), path, write


def test_teachers_that_are_missing_or_others_are_refused(on_file, tmp_path):
    config, path, write = on_file
    extract(config)
    run = train(config, tmp_path / "run").run
    write(1)
    with pytest.raises(RunError, match="is not the teacher of the training"):
        evaluate(run)
    with pytest.raises(RsmtdfError):
        train(config, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    path.unlink()
    for use in (lambda: evaluate(run), lambda: train(config, tmp_path / "other")):
        with pytest.raises(TeacherError, match="its weights are not on this machine"):
            use()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective.teachers=online"], "only a store of features has"),
        (["objective.tokens=[sam]"], "no teacher is named sam"),
        (["objective.head=mlp"], "head"),
        (["teachers=[]"], "needs teachers"),
        (["runtime.activation_checkpointing=true"], "no encoder"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make_config, overrides, message):
    extract(make_config(*METHOD))
    with pytest.raises(ConfigError, match=message):
        train(make_config(*METHOD, *overrides))
