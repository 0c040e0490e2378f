"""A run that began from another program's model states what is known of that model's training data."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from pipeline.evaluate.run import evaluate
from pipeline.origin import begun_from
from pipeline.plan import plan_experiment
from pipeline.runs import read_run
from pipeline.runs.report.chain import _split_facts
from pipeline.share.card import run_card
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.runs.seals import write_sealed_text
from rsmtdf_core.validation import dump_yaml

ONE_STEP = ("objective.method=supervised", "optimiser.max_steps=1", "evaluation.every=100")
UNKNOWN = (
    "the training began from best.pth, whose training data are unknown and may include these scenes"
)


@pytest.fixture
def imported(make_config):
    """A run that looks as if it was imported from best.pth."""
    config = make_config(*ONE_STEP)
    run = open_run(train(config, config.runtime.runs / "official").run)
    source = {"path": "/elsewhere/best.pth", "fingerprint": "ab" * 32}
    run.note(status="finished", steps=0, initial=source)
    assert run.imported
    assert run.origin == "/elsewhere/best.pth"
    assert begun_from(run) is None, "it is that model"
    return run


def test_runs_that_go_back_to_an_imported_run_say_that_its_data_are_unknown(make_config, imported):
    config = make_config(*ONE_STEP)
    first = train(config, config.runtime.runs / "first", init_from=imported.path).run
    checkpoint = next((first / "checkpoints").iterdir())
    second = open_run(train(config, config.runtime.runs / "second", init_from=checkpoint).run)
    assert json.loads(second.marker.read_text())["initial"]["origin"] == "/elsewhere/best.pth"
    report, _ = evaluate(second.path)
    assert UNKNOWN in report.notes
    assert UNKNOWN in run_card(load_run(second.path), None).notes
    assert UNKNOWN in _split_facts(read_run(second.path), report)
    assert not second.splits.exists()


def test_training_data_that_an_import_named_are_counted(make_config, imported):
    config = make_config(*ONE_STEP)
    dataset = plan_experiment(config).dataset
    test = [scene.id for scene in dataset.splits["test"]]
    spec = type(dataset.manifest.splits["train"])(scenes=(test[0], "elsewhere"))
    named = dataset.manifest.model_copy(
        update={"name": "official-lists", "splits": {"train": spec}}
    )
    write_sealed_text(imported.splits, dump_yaml(named))
    run = train(config, config.runtime.runs / "begun", init_from=imported.path).run
    report, _ = evaluate(run)
    data = "training data are, as named with --splits, the 2 scenes of manifest official-lists"
    assert f"the training began from best.pth, whose {data}" in report.notes
    among = [note for note in report.notes if "are among them" in note]
    assert among == [
        f"1 of {len(test)} test scenes share an image or tile with them, and 1 are among them"
    ]


def test_a_weights_file_has_unknown_data_and_a_run_of_ours_known_ones(make_config, tmp_path):
    config = make_config(*ONE_STEP)
    run = train(config).run
    file = tmp_path / "weights.safetensors"
    save_file(load_run(run).student.state_dict(), file)
    of_file = train(config, config.runtime.runs / "of-file", init_from=file).run
    of_run = train(config, config.runtime.runs / "of-run", init_from=run).run
    assert "from weights.safetensors, whose training data are unknown" in begun_from(
        open_run(of_file)
    )
    assert begun_from(open_run(of_run)) is None
    assert Path(open_run(of_file).origin) == file
