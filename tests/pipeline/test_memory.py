"""The remedies for a device with too little memory."""

import pytest
import torch

import pipeline.train.validation
from pipeline.config import load_config
from pipeline.memory import memory_errors, too_little_for_a_step, too_little_for_a_validation
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.runs.folder import open_run

SUPERVISED = ("objective.method=supervised", "optimiser.epochs=1")


def proposed(config, tmp_path, **facts):
    facts = {"unlabeled": True, "saved": True, "detail": "2 GiB"} | facts
    return too_little_for_a_step(config, tmp_path / "config.yaml", **facts)


@pytest.mark.parametrize("batch", [2, 4, 6, 8, 12])
def test_a_proposed_accumulation_is_one_that_the_config_takes(config_file, tmp_path, batch):
    sizes = (f"optimiser.batch={batch}", "runtime.device=auto")
    config, steps = load_config(str(config_file), sizes), 0
    while "runtime.accumulate=" in (remedy := proposed(config, tmp_path).remedy):
        override = next(word for word in remedy.split() if word.startswith("runtime.accumulate="))
        parts = config.runtime.accumulate
        config = load_config(str(config_file), (*sizes, override.rstrip(";")))
        assert config.runtime.accumulate > parts
        steps += 1
    assert steps == {2: 0, 4: 1, 6: 0, 8: 2, 12: 1}[batch]


def test_changes_of_the_result_are_not_resumed(config_file, tmp_path):
    config = load_config(
        str(config_file), ("runtime.device=auto", "runtime.activation_checkpointing=true")
    )
    error = proposed(config, tmp_path)
    assert "2 + 2 crops of 64 px" in error.what
    assert "--overwrite --set runtime.precision=bf16" in error.remedy
    assert "--resume" not in error.remedy
    config = config.model_copy(
        update={"runtime": config.runtime.model_copy(update={"precision": "bf16"})}
    )
    assert "smaller views.crop or optimiser.batch" in proposed(config, tmp_path).remedy


def test_a_run_without_a_checkpoint_is_not_resumed(config_file, tmp_path):
    config = load_config(str(config_file), ("optimiser.batch=8",))
    error = proposed(config, tmp_path, saved=False, unlabeled=False)
    assert "8 crops of 64 px" in error.what
    assert "--overwrite --set runtime.accumulate=2" in error.remedy


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"mode": "slide", "batch": 4}, "--resume --set evaluation.inference.batch=2"),
        ({"mode": "slide", "batch": 1}, "a smaller evaluation.inference.window"),
        ({"mode": "whole"}, "evaluation.inference.mode=slide"),
    ],
)
def test_a_validation_is_made_smaller(tmp_path, settings, remedy):
    inference = InferenceSettings(**settings)
    assert remedy in too_little_for_a_validation(inference, tmp_path / "config.yaml", "x").remedy


def test_only_errors_about_memory_are_translated():
    def error_of(detail):
        return RunError(f"too small ({detail})")

    with (
        pytest.raises(RunError, match=r"too small \(CUDA out of memory\)"),
        memory_errors(error_of),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory\nTried to allocate 2 GiB")
    with pytest.raises(RunError, match="too small"), memory_errors(error_of):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(error_of):
        raise RuntimeError("shapes differ")


def test_a_validation_that_did_not_fit_is_made_up_for_by_the_proposed_command(
    make_config, monkeypatch
):
    config = make_config(*SUPERVISED)

    def exhausted(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.train.validation, "count_confusion", exhausted)
        with pytest.raises(RunError, match="to predict 4 windows of 64 px") as caught:
            train(config)
    assert open_run(config.run_folder).facts["status"] == "interrupted"
    override = caught.value.remedy.split()[-1]
    report = train(make_config(*SUPERVISED, override), resume=True)
    assert report.best_miou is not None
    assert report.steps == 4
