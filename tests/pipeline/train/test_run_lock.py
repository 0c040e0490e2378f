"""Only one process at a time trains a run, and commands recognize a run in training."""

import os

import pytest

import pipeline.train.session
from pipeline.evaluate.run import evaluate
from pipeline.reporter import Silent
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.folder import RunFolder, open_run
from rsmtdf_core.runs.lock import hold_run

SHORT = ("objective.method=supervised", "optimiser.epochs=1")


class Warned(Silent):
    def __init__(self):
        self.lines = []

    def warn(self, text):
        self.lines.append(text)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def nobody_warns(sentence):
    raise AssertionError(sentence)


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_a_second_training_of_a_live_run_is_refused_and_changes_no_file(make_config, how):
    config = make_config(*SHORT)
    run = train(config).run
    with hold_run(run, nobody_warns):
        before = contents(run)
        with pytest.raises(RunError, match=f"process {os.getpid()} on .* is training this run"):
            train(config, **how)
        assert contents(run) == before
    train(config, **how)


def test_a_training_holds_its_run_from_its_first_step_to_its_last(make_config, monkeypatch):
    config = make_config(*SHORT)
    after, refused, warned = pipeline.train.session.Session._after, [], Warned()

    def again(session, record):
        with pytest.raises(RunError, match="is training this run"):
            train(config, overwrite=True)
        refused.append(record.step)
        after(session, record)
        if record.step == 3:
            evaluate(config.run_folder, reporter=warned)

    monkeypatch.setattr(pipeline.train.session.Session, "_after", again)
    run = train(config).run
    assert refused == [0, 1, 2, 3]
    assert "the run is still training: scoring the model of step 4" in warned.lines[0]
    assert not open_run(run).is_live
    quiet = Warned()
    evaluate(run, reporter=quiet)
    assert quiet.lines == []


def test_leftovers_of_killed_processes_are_deleted_under_the_lock(make_config):
    config = make_config(*SHORT)
    run = train(config).run
    names = ("run.json", "config.yaml", "metrics.jsonl")
    leftovers = [run / f"{name}.tmp-{'0123456789abcdef' * 2}" for name in names]
    for path in leftovers:
        path.write_text("half")
    evaluate(run)
    assert all(path.exists() for path in leftovers), "whoever reads deletes nothing"
    train(config, resume=True)
    assert not any(path.exists() for path in leftovers)


def test_a_training_that_cannot_start_makes_no_folder_and_no_lock(make_config, tmp_path):
    config = make_config(*SHORT)
    with pytest.raises(RunError, match="no run to resume"):
        train(config, resume=True)
    assert not config.run_folder.exists()
    config.run_folder.mkdir(parents=True)
    (config.run_folder / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match="not a run folder"):
        train(config, overwrite=True)
    assert [path.name for path in RunFolder(config.run_folder).path.iterdir()] == ["thesis.tex"]
