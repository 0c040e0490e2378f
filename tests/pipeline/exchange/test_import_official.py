"""Official checkpoints become runs that are scored, exported and trained on like any other."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.evaluate.run import evaluate
from pipeline.exchange import import_official as importing
from pipeline.exchange.import_official import import_official
from pipeline.runs import read_run, summarize
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.student.dpt import HEAD_WIDTHS
from rsmtdf_core.student.official import from_official, official_shape
from rsmtdf_core.tokens import TokenShape


def officially(name: str) -> str:
    """Our name of a tensor as the official code calls it."""
    parts = name.split(".")
    match parts[0], parts[1]:
        case "encoder", _:
            return name.replace("encoder.net.", "backbone.")
        case "translators", teacher:
            return f"feature_translator_for_{teacher}.layer." + ".".join(parts[3:])
        case "fusion", _:
            return f"project_{parts[2]}.{parts[3]}"
        case "head", "adapters":
            return f"head.scratch.layer{int(parts[2]) + 1}_rn.weight"
        case "head", "refiners":
            unit = {"merge": "resConfUnit1", "refine": "resConfUnit2"}.get(parts[3], parts[3])
            rest = ".".join(parts[4:])
            return f"head.scratch.refinenet{int(parts[2]) + 1}.{unit}.{rest}"
        case "head", "output":
            return f"head.scratch.output_conv.{parts[2]}.{parts[3]}"
        case "head", "resizes":
            return name.replace("head.resizes.", "head.resize_layers.")
    return name


@pytest.fixture
def shapes(shared):
    """Names and shapes of the official small student."""
    return json.loads((shared / "golden" / "official_shapes.json").read_text())["student"]


def checkpoint_of(states: dict, path, **facts):
    """Save a file like the official code: with DDP's prefix, teachers and NumPy scalars."""
    teachers = {
        "Dino_teacher_model.cls_token": torch.zeros(1, 1, 768),
        "clip_model.proj": torch.ones(4),
    }
    wrapped = {
        key: {f"module.{name}": tensor for name, tensor in (state | teachers).items()}
        for key, state in states.items()
    }
    torch.save({**wrapped, "epoch": 3, "previous_best": np.float64(61.5), **facts}, path)
    return path


def random_state(shapes: dict, seed: int) -> dict:
    torch.manual_seed(seed)
    return {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}


def with_classes(state: dict, classes: int) -> dict:
    name = "head.scratch.output_conv.2"
    state[f"{name}.weight"] = state[f"{name}.weight"][:classes]
    state[f"{name}.bias"] = state[f"{name}.bias"][:classes]
    return state


@pytest.mark.shared
@pytest.mark.slow
def test_an_official_checkpoint_becomes_a_run_that_is_scored_and_trained_on(
    shapes, tmp_path, scenes, make_config
):
    student, ema = (with_classes(random_state(shapes, seed), 6) for seed in (0, 1))
    path = checkpoint_of({"model": student, "model_ema": ema}, tmp_path / "best.pth")
    report = import_official(path, "synthetic", root=scenes, run=tmp_path / "official")
    assert (report.size, report.weights, report.official_score) == ("small", "student", 61.5)
    # Two of the teachers, and of each a part that never feeds the output.
    idle = len(student) - len(from_official(student))
    assert report.left_out == 2 + idle
    run = load_run(report.run)
    assert run.weights == "student"
    for which, state in (("student", student), ("ema", ema)):
        loaded = load_run(report.run, which).student.state_dict()
        for name, tensor in from_official(state).items():
            assert torch.equal(loaded[name], tensor), name
    scores, _ = evaluate(report.run)
    assert scores.images == 2
    notes = " ".join(scores.notes)
    assert "its training data are unknown and may include these scenes" in notes
    assert "labeled" not in notes
    assert "train =" not in notes
    summary = summarize(read_run(report.run), "official")
    assert (summary.labeled, summary.features.source) == (None, "none")
    settings = run.config.student
    started = make_config(
        "objective.method=supervised",
        "optimiser.max_steps=1",
        "optimiser.lr=1e-9",
        "views.crop=70",
        "evaluation.inference.window=70",
        f"student.encoder={settings.encoder}",
        "evaluation.every=100",
    )
    first = train(started, init_from=report.run).run
    newest = max((first / "checkpoints").iterdir())
    begun = load_file(newest / "student.safetensors")
    name = "encoder.net.blocks.3.attn.qkv.weight"
    torch.testing.assert_close(begun[name], from_official(student)[name])


@pytest.mark.parametrize("dataset", ["loveda-areas", "potsdam", "deepglobe"])
def test_each_dataset_has_the_recipe_of_its_own_config(dataset):
    recipe = importing._recipe(load_manifest(dataset))
    assert recipe.name == f"{dataset.removesuffix('-areas')}-published"
    assert recipe.evaluation.weights == "student"


def test_a_dataset_of_other_classes_has_the_published_recipe_too():
    assert importing._recipe(load_manifest("synthetic")).name.endswith(importing.PUBLISHED)


def test_splits_have_to_list_training_scenes(tmp_path):
    with pytest.raises(ConfigError, match="synthetic does not list its training scenes") as caught:
        import_official(tmp_path / "best.pth", "synthetic", splits="synthetic")
    assert caught.value.where == "--splits synthetic"
    assert "rsmtdf data prepare" in caught.value.remedy
    with pytest.raises(ConfigError, match="unknown manifest") as caught:
        import_official(tmp_path / "best.pth", "synthetic", splits=str(tmp_path))
    assert "potsdam-official-1.yaml" in caught.value.remedy


@pytest.mark.parametrize(
    ("width", "head", "hidden"), [(384, "small", 1024), (768, "base", 1024), (1024, "large", 512)]
)
def test_every_size_is_recognized_by_its_shapes(width, head, hidden):
    features = HEAD_WIDTHS[head][0]
    shape = official_shape(
        {
            "encoder.net.cls_token": torch.zeros(1, 1, width),
            "head.output.0.weight": torch.zeros(features, features, 3, 3),
            "head.output.2.weight": torch.zeros(7, features, 1, 1),
            "translators.dino.layers.0.weight": torch.zeros(hidden, width),
            "translators.dino.layers.2.weight": torch.zeros(768, hidden),
            "translators.clip.layers.2.weight": torch.zeros(1024, hidden),
        }
    )
    assert (shape.size, shape.head, shape.classes, shape.translator_hidden) == (
        head,
        head,
        7,
        hidden,
    )
    assert shape.teachers == (
        TokenShape("dino", 37, 37, 768),
        TokenShape("clip", 16, 16, 1024, 224),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("size", "width"), [("base", 768), ("large", 1024)])
def test_a_student_of_every_size_takes_official_names(size, width):
    from rsmtdf_core.student.model import Student
    from rsmtdf_core.student.settings import StudentSettings

    teachers = [TokenShape("dino", 37, 37, 768), TokenShape("clip", 16, 16, 1024, 224)]
    settings = StudentSettings(encoder=f"vit_{size}_patch14_dinov2", head=size, weights="random")
    with torch.device("meta"):
        loaded = Student(settings, 7, 518, teachers).state_dict()
    official = {officially(name): tensor for name, tensor in loaded.items()}
    renamed = from_official(official)
    assert renamed.keys() == loaded.keys()
    assert official_shape(renamed).size == size
    assert loaded["encoder.net.cls_token"].shape[-1] == width


def test_invalid_official_checkpoints_are_refused(tmp_path):
    with pytest.raises(MissingFileError):
        import_official(tmp_path / "absent.pth", "synthetic")
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(RunError, match="not a readable weights file"):
        import_official(tmp_path / "noise.pth", "synthetic")
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(RunError, match="expected 'model' or 'model_ema', found state_dict"):
        import_official(tmp_path / "other.pth", "synthetic")
    torch.save({"model": {"decoder.weight": torch.zeros(1)}}, tmp_path / "foreign.pth")
    with pytest.raises(RunError, match="unknown names"):
        import_official(tmp_path / "foreign.pth", "synthetic")
    torch.save({"model": {"project_dino.bias": torch.zeros(1)}}, tmp_path / "part.pth")
    with pytest.raises(RunError, match="not a complete official RS-MTDF student"):
        import_official(tmp_path / "part.pth", "synthetic")
    torch.save({"model": [torch.zeros(1)]}, tmp_path / "list.pth")
    with pytest.raises(RunError, match="expected names and tensors"):
        import_official(tmp_path / "list.pth", "synthetic")
    (tmp_path / "page.pth").write_text("<html>Not Found</html>")
    with pytest.raises(RunError, match="a web page, not weights"):
        import_official(tmp_path / "page.pth", "synthetic")
    torch.save({"model": {"project_dino.bias": torch.tensor([torch.nan])}}, tmp_path / "nan.pth")
    with pytest.raises(
        RunError, match=r"NaN or infinity, the first is fusion.projections.dino.bias"
    ):
        import_official(tmp_path / "nan.pth", "synthetic")


@pytest.mark.shared
def test_another_datasets_classes_are_refused_before_a_folder_is_made(shapes, tmp_path):
    path = checkpoint_of({"model": random_state(shapes, 0)}, tmp_path / "best.pth")
    with pytest.raises(RunError, match="the checkpoint has 7 classes, synthetic has 6"):
        import_official(path, "synthetic", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match="no 'model_ema'"):
        import_official(path, "synthetic", run=tmp_path / "run", weights="ema")


@pytest.mark.shared
@pytest.mark.slow
@torch.inference_mode()
def test_an_imported_run_computes_the_official_numbers(shared, rule, shapes, tmp_path):
    path = checkpoint_of({"model": rule.rule_state(shapes)}, tmp_path / "best.pth")
    run = load_run(import_official(path, "loveda", run=tmp_path / "run").run)
    with np.load(shared / "golden" / "official_small_518.npz") as numbers:
        expected = torch.from_numpy(np.array(numbers["logits"]))
    logits = run.student.cpu()(rule.rule_tensor("input/image", [2, 3, 518, 518], 1.0)).logits
    error = (logits[:, :, ::7, ::7] - expected).abs().max() / expected.abs().max()
    assert float(error) < 1e-4
